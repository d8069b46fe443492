#define _GNU_SOURCE
#include "object.h"

#include <stdlib.h>

static void end(struct im_object *object) {
  if (!object->open) return;
  object->open = false;
  object->kind->stop(object);
}

static void on_cleanup(void *data) { end(data); }

static void on_finalize(napi_env env, void *data, void *context) {
  (void)data;
  napi_remove_env_cleanup_hook(env, on_cleanup, context);
  end(context);
  free(context);
}

/* An object that was never closed lives on: its threads and callback do not need the value. */
static void free_holder(napi_env env, void *data, void *hint) {
  (void)env, (void)hint;
  free(data);
}

static bool add_methods(napi_env env, napi_value value, const struct im_object_kind *kind) {
  for (const struct im_object_method *method = kind->methods; method->name; method++)
    if (!util_export(env, value, method->name, method->callback)) return false;
  return true;
}

static bool wrap(napi_env env, napi_value value, struct im_object *object) {
  struct im_object **holder = malloc(sizeof *holder);
  if (!holder) return false;
  *holder = object;
  if (napi_wrap(env, value, holder, free_holder, NULL, NULL) == napi_ok) return true;
  free(holder);
  return false;
}

napi_value object_create(napi_env env, struct im_object *object, const struct im_object_kind *kind,
                         napi_value callback) {
  napi_value value, name;
  object->kind = kind;
  if (napi_create_object(env, &value) == napi_ok && add_methods(env, value, kind) &&
      napi_create_string_utf8(env, kind->name, NAPI_AUTO_LENGTH, &name) == napi_ok &&
      napi_create_threadsafe_function(env, callback, NULL, name, 0, 1, NULL, on_finalize, object, kind->on_event,
                                      &object->deliver) == napi_ok) {
    if (wrap(env, value, object) && napi_type_tag_object(env, value, &kind->tag) == napi_ok) return value;
    object_abandon(object);
  } else {
    free(object);
  }
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", kind->usage);
  return NULL;
}

/* Hooks run in reverse order: ours, added after the function's own, ends the threads before the function goes. */
void object_open(napi_env env, struct im_object *object) {
  object->open = true;
  napi_add_env_cleanup_hook(env, on_cleanup, object);
}

void object_abandon(struct im_object *object) { napi_release_threadsafe_function(object->deliver, napi_tsfn_abort); }

static struct im_object **holder_of(napi_env env, napi_value value) {
  struct im_object **holder = NULL;
  return napi_unwrap(env, value, (void **)&holder) == napi_ok ? holder : NULL;
}

void *object_of(napi_env env, napi_value value, const struct im_object_kind *kind) {
  bool ours = false;
  if (napi_check_object_type_tag(env, value, &kind->tag, &ours) != napi_ok || !ours) return NULL;
  struct im_object **holder = holder_of(env, value);
  return holder ? *holder : NULL;
}

void *object_this(napi_env env, napi_callback_info info, const struct im_object_kind *kind, napi_value *arguments,
                  size_t count) {
  napi_value self;
  size_t given = count;
  if (napi_get_cb_info(env, info, &given, arguments, &self, NULL) != napi_ok || given < count) return NULL;
  return object_of(env, self, kind);
}

napi_value object_close(napi_env env, napi_callback_info info) {
  napi_value self;
  if (napi_get_cb_info(env, info, NULL, NULL, &self, NULL) != napi_ok) return NULL;
  struct im_object **holder = holder_of(env, self);
  if (holder && *holder) {
    struct im_object *object = *holder;
    *holder = NULL;
    end(object);
    object_abandon(object);
  }
  return util_undefined(env);
}
