/* openConnector: JavaScript's side of src/native/connector. */
#define _GNU_SOURCE
#include "connector/connector.h"
#include "connector/siphash.h"
#include "util.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct holder {
  struct im_connector *connector; /* NULL: closed */
  napi_threadsafe_function deliver;
};

struct event {
  enum im_event event;
  uint32_t subject;
  int32_t detail;
};

static const napi_type_tag tag = {0x1a5f0c2d9be34711u, 0x8f42c6d07be1a9c3u};

/* Any thread. */
static void report_event(void *context, enum im_event event, uint32_t subject, int32_t detail) {
  struct holder *holder = context;
  struct event *report = malloc(sizeof *report);
  if (!report) return;
  *report = (struct event){event, subject, detail};
  if (napi_call_threadsafe_function(holder->deliver, report, napi_tsfn_nonblocking) != napi_ok) free(report);
}

static void on_deliver(napi_env env, napi_value callback, void *context, void *data) {
  struct event report = *(struct event *)data;
  struct holder *holder = context;
  free(data);
  if (!env || !holder->connector) return;
  napi_value arguments[3];
  if (napi_create_uint32(env, report.event, &arguments[0]) != napi_ok ||
      napi_create_uint32(env, report.subject, &arguments[1]) != napi_ok ||
      napi_create_int32(env, report.detail, &arguments[2]) != napi_ok)
    return;
  napi_call_function(env, util_undefined(env), callback, 3, arguments, NULL);
}

static void stop(struct holder *holder) {
  struct im_connector *connector = holder->connector;
  if (!connector) return;
  holder->connector = NULL;
  connector_stop(connector);
  connector_release(connector);
}

static void on_cleanup(void *data) { stop(data); }

static void on_finalize(napi_env env, void *data, void *context) {
  (void)data;
  struct holder *holder = context;
  napi_remove_env_cleanup_hook(env, on_cleanup, holder);
  stop(holder);
  free(holder);
}

static struct holder *holder_of(napi_env env, napi_value object) {
  struct holder **holder = NULL;
  bool ours = false;
  if (napi_check_object_type_tag(env, object, &tag, &ours) != napi_ok || !ours) return NULL;
  if (napi_unwrap(env, object, (void **)&holder) != napi_ok || !*holder) return NULL;
  return *holder;
}

struct im_connector *connector_binding_of(napi_env env, napi_value object) {
  struct holder *holder = holder_of(env, object);
  return holder ? holder->connector : NULL;
}

static struct im_connector *called_on(napi_env env, napi_callback_info info, napi_value *arguments, size_t count) {
  napi_value self;
  size_t given = count;
  if (napi_get_cb_info(env, info, &given, arguments, &self, NULL) != napi_ok || given < count) return NULL;
  return connector_binding_of(env, self);
}

static uint32_t number(napi_env env, napi_value object, const char *name) {
  napi_value value;
  double result = 0;
  if (napi_get_named_property(env, object, name, &value) == napi_ok) napi_get_value_double(env, value, &result);
  return (uint32_t)(int64_t)result;
}

static bool flag(napi_env env, napi_value object, const char *name) {
  napi_value value;
  bool result = false;
  if (napi_get_named_property(env, object, name, &value) == napi_ok) napi_get_value_bool(env, value, &result);
  return result;
}

/* False: more bytes than there is room for. */
static bool bytes(napi_env env, napi_value object, const char *name, uint8_t *to, uint8_t *size) {
  napi_value value;
  napi_typedarray_type type;
  void *data = NULL;
  size_t length = 0;
  bool given = false;
  *size = 0;
  if (napi_get_named_property(env, object, name, &value) != napi_ok ||
      napi_is_typedarray(env, value, &given) != napi_ok || !given)
    return true;
  if (napi_get_typedarray_info(env, value, &type, &length, &data, NULL, NULL) != napi_ok || type != napi_uint8_array ||
      length > IM_SECRET_MOST)
    return false;
  if (length) memcpy(to, data, length);
  *size = (uint8_t)length;
  return true;
}

/* False: thrown. */
static bool read_opening(napi_env env, napi_value what, struct im_opening *opening) {
  napi_value epoch;
  int64_t number64 = 0;
  *opening = (struct im_opening){.id = number(env, what, "id"),
                                 .purpose = (enum im_purpose)number(env, what, "purpose")};
  opening->listens = flag(env, what, "listens");
  opening->peer = number(env, what, "peer");
  if (napi_get_named_property(env, what, "epoch", &epoch) == napi_ok) napi_get_value_int64(env, epoch, &number64);
  opening->epoch = (uint64_t)number64;
  opening->local = number(env, what, "local");
  opening->local_port = (uint16_t)number(env, what, "localPort");
  opening->remote = number(env, what, "remote");
  opening->remote_port = (uint16_t)number(env, what, "remotePort");
  opening->timeout = number(env, what, "timeout");
  opening->ttl = number(env, what, "ttl");
  opening->low = number(env, what, "low");
  opening->port = (uint16_t)number(env, what, "port");
  opening->source_port = (uint16_t)number(env, what, "sourcePort");
  opening->reply_to = (int)number(env, what, "replyTo");
  opening->own_first = (uint16_t)number(env, what, "ownFirst");
  opening->own_count = (uint16_t)number(env, what, "ownCount");
  opening->their_first = (uint16_t)number(env, what, "theirFirst");
  opening->their_count = (uint16_t)number(env, what, "theirCount");
  bool channel = opening->purpose == IM_SIGNALLING_OUT || opening->purpose == IM_SIGNALLING_IN;
  bool known = channel ? opening->own_count && opening->their_count : opening->purpose <= IM_HAND;
  if (known && bytes(env, what, "send", opening->send, &opening->send_size) &&
      bytes(env, what, "expect", opening->expect, &opening->expect_size) &&
      (!channel || (opening->send_size == IM_SIPHASH_KEY && opening->expect_size == IM_SIPHASH_KEY)))
    return true;
  napi_throw_type_error(
      env, "ERR_INVALID_ARG_VALUE",
      "open: no such purpose, more than 36 bytes to be said first, or a channel without ports and keys of 16 bytes");
  return false;
}

static napi_value open_connection(napi_env env, napi_callback_info info) {
  napi_value what, result;
  struct im_connector *connector = called_on(env, info, &what, 1);
  struct im_opening opening;
  if (connector && !read_opening(env, what, &opening)) return NULL;
  napi_create_int32(env, connector ? connector_open(connector, &opening) : ESHUTDOWN, &result);
  return result;
}

/* False: it is no typed array of that type. */
static bool array(napi_env env, napi_value value, napi_typedarray_type wanted, void **data, size_t *length) {
  napi_typedarray_type type;
  return napi_get_typedarray_info(env, value, &type, length, data, NULL, NULL) == napi_ok && type == wanted;
}

static napi_value fill(napi_env env, napi_callback_info info) {
  napi_value arguments[3], result;
  struct im_connector *connector = called_on(env, info, arguments, 3);
  struct im_opening opening;
  size_t ports_count = 0, size = 0;
  int error = ESHUTDOWN;
  if (connector) {
    void *ports_data, *secrets_data;
    bool given = array(env, arguments[1], napi_uint16_array, &ports_data, &ports_count) &&
                 array(env, arguments[2], napi_uint8_array, &secrets_data, &size);
    size_t count = ports_count / 2;
    if (!read_opening(env, arguments[0], &opening)) return NULL;
    if (!given || count == 0 || ports_count % 2 || size != count * 2 * IM_PAIR_SECRET) {
      napi_throw_type_error(env, "ERR_INVALID_ARG_VALUE",
                            "fill: two ports and 32 bytes of secrets for each connection");
      return NULL;
    }
    const uint16_t *ports = ports_data;
    const uint8_t *secrets = secrets_data;
    struct im_pair *pairs = calloc(count, sizeof *pairs);
    for (size_t i = 0; pairs && i < count; i++) {
      pairs[i] = (struct im_pair){.local_port = ports[2 * i], .remote_port = ports[2 * i + 1]};
      memcpy(pairs[i].ours, secrets + 2 * i * IM_PAIR_SECRET, IM_PAIR_SECRET);
      memcpy(pairs[i].theirs, secrets + (2 * i + 1) * IM_PAIR_SECRET, IM_PAIR_SECRET);
    }
    error = pairs ? connector_fill(connector, &opening, pairs, count) : ENOMEM;
    free(pairs);
  }
  napi_create_int32(env, error, &result);
  return result;
}

static napi_value call(napi_env env, napi_callback_info info) {
  napi_value arguments[4], result;
  uint32_t numbers[4] = {0};
  struct im_connector *connector = called_on(env, info, arguments, 4);
  for (size_t i = 0; connector && i < 4; i++)
    if (napi_get_value_uint32(env, arguments[i], &numbers[i]) != napi_ok) {
      napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "call(id: number, peer: number, count: number, low: number)");
      return NULL;
    }
  int error = connector ? connector_call(connector, numbers[0], numbers[1], numbers[2], numbers[3]) : ESHUTDOWN;
  napi_create_int32(env, error, &result);
  return result;
}

static napi_value cancel(napi_env env, napi_callback_info info) {
  napi_value argument, result;
  uint32_t id = 0;
  struct im_connector *connector = called_on(env, info, &argument, 1);
  bool given_up = connector && napi_get_value_uint32(env, argument, &id) == napi_ok && connector_cancel(connector, id);
  napi_get_boolean(env, given_up, &result);
  return result;
}

static napi_value drop(napi_env env, napi_callback_info info) {
  napi_value argument;
  uint32_t peer = 0;
  struct im_connector *connector = called_on(env, info, &argument, 1);
  if (connector && napi_get_value_uint32(env, argument, &peer) == napi_ok) connector_drop(connector, peer);
  return util_undefined(env);
}

static napi_value listeners(napi_env env, napi_callback_info info) {
  napi_value argument;
  size_t length = 0;
  void *data = NULL;
  struct im_connector *connector = called_on(env, info, &argument, 1);
  if (!connector) return util_undefined(env);
  if (!array(env, argument, napi_uint32_array, &data, &length) || length % 3) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "listeners(rows: Uint32Array of port, real address, real port)");
    return NULL;
  }
  const uint32_t *rows = data;
  struct im_listener *list = length ? calloc(length / 3, sizeof *list) : NULL;
  for (size_t i = 0; list && i < length / 3; i++)
    list[i] = (struct im_listener){
        .port = (uint16_t)rows[3 * i], .real = rows[3 * i + 1], .real_port = (uint16_t)rows[3 * i + 2]};
  connector_listeners(connector, list, list ? length / 3 : 0);
  free(list);
  return util_undefined(env);
}

static napi_value arriving(napi_env env, napi_callback_info info) {
  napi_value result;
  struct im_connector *connector = called_on(env, info, NULL, 0);
  napi_create_uint32(env, connector ? connector_arriving(connector) : 0, &result);
  return result;
}

static napi_value ready(napi_env env, napi_callback_info info) {
  napi_value argument, result;
  uint32_t peer = 0;
  struct im_connector *connector = called_on(env, info, &argument, 1);
  bool given = connector && napi_get_value_uint32(env, argument, &peer) == napi_ok;
  napi_create_int32(env, given ? connector_ready(connector, peer) : 0, &result);
  return result;
}

static napi_value close_connector(napi_env env, napi_callback_info info) {
  napi_value self;
  if (napi_get_cb_info(env, info, NULL, NULL, &self, NULL) != napi_ok) return NULL;
  struct holder *holder = holder_of(env, self);
  if (holder) {
    struct holder **place = NULL;
    napi_unwrap(env, self, (void **)&place);
    *place = NULL;
    stop(holder);
    napi_release_threadsafe_function(holder->deliver, napi_tsfn_abort); /* its finalizer frees the holder */
  }
  return util_undefined(env);
}

static void free_place(napi_env env, void *data, void *hint) {
  (void)env, (void)hint;
  free(data);
}

napi_value connector_binding_open(napi_env env, napi_callback_info info) {
  napi_value arguments[2], object, name;
  uint32_t alias_base = 0;
  if (!util_arguments(env, info, arguments, 2, "openConnector(alias_base, onEvent)")) return NULL;
  struct holder *holder = calloc(1, sizeof *holder), **place = calloc(1, sizeof *place);
  bool ok = holder && place && napi_get_value_uint32(env, arguments[0], &alias_base) == napi_ok &&
            napi_create_object(env, &object) == napi_ok && util_export(env, object, "open", open_connection) &&
            util_export(env, object, "fill", fill) && util_export(env, object, "call", call) &&
            util_export(env, object, "cancel", cancel) && util_export(env, object, "drop", drop) &&
            util_export(env, object, "listeners", listeners) && util_export(env, object, "arriving", arriving) &&
            util_export(env, object, "ready", ready) && util_export(env, object, "close", close_connector) &&
            napi_create_string_utf8(env, "imaginary:connector", NAPI_AUTO_LENGTH, &name) == napi_ok &&
            napi_create_threadsafe_function(env, arguments[1], NULL, name, 0, 1, NULL, on_finalize, holder, on_deliver,
                                            &holder->deliver) == napi_ok;
  if (!ok) {
    free(holder);
    free(place);
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "openConnector(alias_base: number, onEvent: function)");
    return NULL;
  }
  napi_unref_threadsafe_function(env, holder->deliver);
  *place = holder;
  holder->connector = connector_create(alias_base, report_event, holder);
  if (!holder->connector || napi_wrap(env, object, place, free_place, NULL, NULL) != napi_ok ||
      napi_type_tag_object(env, object, &tag) != napi_ok) {
    napi_release_threadsafe_function(holder->deliver, napi_tsfn_abort);
    util_throw_errno(env, ENOMEM, "malloc", NULL);
    return NULL;
  }
  napi_add_env_cleanup_hook(env, on_cleanup, holder);
  return object;
}
