/* openConnector: JavaScript's side of src/native/connector. */
#define _GNU_SOURCE
#include "connector/connector.h"
#include "connector/siphash.h"
#include "object.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct binding {
  struct im_object object;
  struct im_connector *connector;
};

struct event {
  enum im_event number;
  uint32_t subject;
  int32_t detail;
};

/* Any thread. */
static void report(void *context, enum im_event number, uint32_t subject, int32_t detail) {
  const struct binding *binding = context;
  struct event *event = malloc(sizeof *event);
  if (!event) return;
  *event = (struct event){number, subject, detail};
  if (napi_call_threadsafe_function(binding->object.deliver, event, napi_tsfn_nonblocking) != napi_ok) free(event);
}

static void on_event(napi_env env, napi_value callback, void *context, void *data) {
  struct event event = *(struct event *)data;
  const struct binding *binding = context;
  free(data);
  if (!env || !binding->object.open) return;
  napi_value arguments[3];
  if (napi_create_uint32(env, event.number, &arguments[0]) != napi_ok ||
      napi_create_uint32(env, event.subject, &arguments[1]) != napi_ok ||
      napi_create_int32(env, event.detail, &arguments[2]) != napi_ok)
    return;
  napi_call_function(env, util_undefined(env), callback, 3, arguments, NULL);
}

static void stop(struct im_object *object) {
  struct im_connector *connector = ((struct binding *)object)->connector;
  connector_stop(connector);
  connector_release(connector);
}

static const struct im_object_kind kind;

struct im_connector *connector_binding_of(napi_env env, napi_value value) {
  const struct binding *binding = object_of(env, value, &kind);
  return binding ? binding->connector : NULL;
}

static struct im_connector *called_on(napi_env env, napi_callback_info info, napi_value *arguments, size_t count) {
  const struct binding *binding = object_this(env, info, &kind, arguments, count);
  return binding ? binding->connector : NULL;
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
  opening->outside = flag(env, what, "outside");
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

static napi_value proved(napi_env env, napi_callback_info info) {
  napi_value argument;
  uint32_t id = 0;
  struct im_connector *connector = called_on(env, info, &argument, 1);
  if (connector && napi_get_value_uint32(env, argument, &id) == napi_ok) connector_proved(connector, id);
  return util_undefined(env);
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

static napi_value services(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  size_t length = 0, given_length = 0;
  void *data = NULL, *given = NULL;
  struct im_connector *connector = called_on(env, info, arguments, 2);
  if (!connector) return util_undefined(env);
  if (!array(env, arguments[0], napi_uint32_array, &data, &length) || length % 5 ||
      !array(env, arguments[1], napi_uint32_array, &given, &given_length)) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE",
                          "services(rows: Uint32Array of service, host, port, connections, most; given: Uint32Array)");
    return NULL;
  }
  const uint32_t *rows = data;
  struct im_place *list = length ? calloc(length / 5, sizeof *list) : NULL;
  for (size_t i = 0; list && i < length / 5; i++, rows += 5)
    list[i] = (struct im_place){
        .service = rows[0], .host = rows[1], .port = (uint16_t)rows[2], .connections = rows[3], .most = rows[4]};
  connector_services(connector, list, list ? length / 5 : 0, given, given_length);
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

static const struct im_object_kind kind = {
    .name = "imaginary:connector",
    .usage = "openConnector(aliasBase: number, onEvent: function)",
    .tag = {0x1a5f0c2d9be34711u, 0x8f42c6d07be1a9c3u},
    .methods = {{"open", open_connection},
                {"fill", fill},
                {"call", call},
                {"cancel", cancel},
                {"proved", proved},
                {"drop", drop},
                {"listeners", listeners},
                {"services", services},
                {"arriving", arriving},
                {"ready", ready},
                {"close", object_close}},
    .on_event = on_event,
    .stop = stop,
};

napi_value connector_binding_open(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  uint32_t alias_base = 0;
  if (!util_arguments(env, info, arguments, 2, kind.usage)) return NULL;
  if (napi_get_value_uint32(env, arguments[0], &alias_base) != napi_ok) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", kind.usage);
    return NULL;
  }
  struct binding *binding = calloc(1, sizeof *binding);
  struct im_connector *connector = binding ? connector_create(alias_base, report, binding) : NULL;
  if (!connector) {
    free(binding);
    util_throw_errno(env, ENOMEM, "malloc", NULL);
    return NULL;
  }
  napi_value object = object_create(env, &binding->object, &kind, arguments[1]);
  if (!object) return connector_release(connector), NULL;
  binding->connector = connector;
  napi_unref_threadsafe_function(env, binding->object.deliver);
  object_open(env, &binding->object);
  return object;
}
