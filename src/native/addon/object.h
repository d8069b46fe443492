/*
 * An object of JavaScript that stands for something with threads of its own. Their events cross over through a
 * thread-safe function. All of this is for the JavaScript thread.
 */
#ifndef IMAGINARY_OBJECT_H
#define IMAGINARY_OBJECT_H

#include "util.h"

/* The first member of a structure that calloc gave. */
struct im_object {
  const struct im_object_kind *kind;
  napi_threadsafe_function deliver;
  bool open;
};

struct im_object_kind {
  const char *name;
  const char *usage; /* for errors */
  napi_type_tag tag;
  struct im_object_method {
    const char *name;
    napi_callback callback;
  } methods[16]; /* the last one has no name */
  /* `env` is NULL when the function is torn down with events still queued: `context`, the structure, is freed then. */
  void (*on_event)(napi_env env, napi_value callback, void *context, void *data);
  /* Ends the threads, and frees all but the structure itself. */
  void (*stop)(struct im_object *object);
};

/* NULL: thrown, and the structure is freed. Otherwise the caller opens or abandons it. */
napi_value object_create(napi_env env, struct im_object *object, const struct im_object_kind *kind,
                         napi_value callback);
/* It runs: it is stopped when JavaScript closes it, or when the environment ends. */
void object_open(napi_env env, struct im_object *object);
/* It does not run. Frees the structure, in the end. */
void object_abandon(struct im_object *object);
/* The structure behind a value; NULL: another kind, or it is closed. */
void *object_of(napi_env env, napi_value value, const struct im_object_kind *kind);
/* The same for `this`; NULL also when there are fewer than `count` arguments. */
void *object_this(napi_env env, napi_callback_info info, const struct im_object_kind *kind, napi_value *arguments,
                  size_t count);
/* The method `close`. */
napi_value object_close(napi_env env, napi_callback_info info);

#endif
