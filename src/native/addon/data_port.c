/*
 * openDataPort: relay/ for JavaScript. Events cross over through a thread-safe function, one at a time, in their order.
 */
#define _GNU_SOURCE
#include "data_port.h"
#include "object.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define HEADER_LIMIT 5000
#define PAIR_LIMIT 10000
#define PROBE_LIMIT 10000
#define MOST_PAIRS 4096
/* A pair has two sockets and at worst two pipes. Half of all descriptors are for others. */
#define DESCRIPTORS_OF_PAIR 6

struct data_port {
  struct im_object object;
  struct im_relay *relay;
};

static const char *const KINDS[] = {"paired", "ended", "unused",  "rejected", "caller",
                                    "hello",  "gone",  "refused", "led"};

static bool set(napi_env env, napi_value object, const char *name, napi_status made, napi_value value) {
  return made == napi_ok && napi_set_named_property(env, object, name, value) == napi_ok;
}

static bool set_number(napi_env env, napi_value object, const char *name, double number) {
  napi_value value = NULL;
  return set(env, object, name, napi_create_double(env, number, &value), value);
}

static bool set_text(napi_env env, napi_value object, const char *name, const char *text) {
  napi_value value = NULL;
  return set(env, object, name, napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value), value);
}

static bool set_bytes(napi_env env, napi_value object, const uint64_t bytes[2]) {
  napi_value both = NULL, number = NULL;
  bool ok = napi_create_array_with_length(env, 2, &both) == napi_ok;
  for (uint32_t i = 0; ok && i < 2; i++) {
    ok = napi_create_double(env, (double)bytes[i], &number) == napi_ok &&
         napi_set_element(env, both, i, number) == napi_ok;
  }
  return ok && napi_set_named_property(env, object, "bytes", both) == napi_ok;
}

static bool describe(napi_env env, napi_value object, const struct im_relay_event *event) {
  if (!set_text(env, object, "type", KINDS[event->kind])) return false;
  if (event->kind == IM_RELAY_REJECTED) {
    char address[INET_ADDRSTRLEN];
    struct in_addr from = {.s_addr = htonl(event->address)};
    inet_ntop(AF_INET, &from, address, sizeof address);
    return set_number(env, object, "count", event->count) && set_text(env, object, "address", address) &&
           set_text(env, object, "reason", event->reason);
  }
  if (event->kind >= IM_RELAY_CLIENTS_REFUSED)
    return set_number(env, object, "ingress", event->ingress) && set_number(env, object, "address", event->address) &&
           set_number(env, object, "count", event->count) &&
           (event->kind == IM_RELAY_CLIENTS_REFUSED ? set_text(env, object, "reason", event->reason)
                                                    : set_number(env, object, "lead", (double)event->lead));
  if (!set_number(env, object, "id", event->id)) return false;
  if (event->kind >= IM_RELAY_CALLER) return data_port_describe_caller(env, object, event);
  if (event->kind == IM_RELAY_UNUSED)
    return set_number(env, object, "arrived", event->arrived) &&
           (!event->error || set_text(env, object, "error", strerror(event->error)));
  if (event->kind == IM_RELAY_PAIRED) return true;
  return set_bytes(env, object, event->bytes) &&
         (!event->error || set_text(env, object, "error", strerror(event->error)));
}

/* On the relay's thread. */
static void on_relay_event(void *context, const struct im_relay_event *event) {
  struct data_port *port = context;
  struct im_relay_event *copy = malloc(sizeof *copy);
  if (copy) *copy = *event;
  if (copy && napi_call_threadsafe_function(port->object.deliver, copy, napi_tsfn_nonblocking) == napi_ok) return;
  free(event->hello);
  free(copy);
}

static void on_event(napi_env env, napi_value callback, void *context, void *data) {
  struct data_port *port = context;
  struct im_relay_event *event = data;
  napi_value object;
  if (env && port->object.open && napi_create_object(env, &object) == napi_ok && describe(env, object, event)) {
    napi_call_function(env, util_undefined(env), callback, 1, &object, NULL);
  }
  free(event->hello);
  free(event);
}

static void stop(struct im_object *object) { relay_close(((struct data_port *)object)->relay); }

static napi_value expect(napi_env env, napi_callback_info info);
static napi_value sent(napi_env env, napi_callback_info info);
static napi_value probe(napi_env env, napi_callback_info info);
static napi_value break_off(napi_env env, napi_callback_info info);
static napi_value withdraw(napi_env env, napi_callback_info info);

static const struct im_object_kind kind = {
    .name = "imaginary:data-port",
    .usage = "openDataPort(address, port, onEvent): onEvent must be a function",
    .tag = {0x3e81f6a90b2d4c75u, 0x70d9c25b8e1fa436u},
    .methods = {{"close", object_close},
                {"expect", expect},
                {"sent", sent},
                {"probe", probe},
                {"breakOff", break_off},
                {"withdraw", withdraw},
                {"accept", data_port_accept},
                {"lead", data_port_lead},
                {"hear", data_port_hear},
                {"refuse", data_port_refuse},
                {"take", data_port_take},
                {"adopt", data_port_adopt},
                {"admit", data_port_admit},
                {"connect", data_port_connect}},
    .on_event = on_event,
    .stop = stop,
};

struct im_relay *data_port_relay(napi_env env, napi_callback_info info, napi_value *arguments, size_t count) {
  const struct data_port *port = object_this(env, info, &kind, arguments, count);
  return port ? port->relay : NULL;
}

bool data_port_token(napi_env env, napi_value value, unsigned char **bytes) {
  napi_typedarray_type type;
  size_t length = 0;
  return napi_get_typedarray_info(env, value, &type, &length, (void **)bytes, NULL, NULL) == napi_ok &&
         type == napi_uint8_array && length == IM_TOKEN_SIZE;
}

static napi_value expect(napi_env env, napi_callback_info info) {
  napi_value arguments[3], result = NULL;
  unsigned char *a, *b;
  uint32_t id;
  const struct data_port *port = object_this(env, info, &kind, arguments, 3);
  bool ok = false;
  if (port) {
    if (!data_port_token(env, arguments[0], &a) || !data_port_token(env, arguments[1], &b) ||
        napi_get_value_uint32(env, arguments[2], &id) != napi_ok) {
      napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "expect(a, b: Uint8Array of 32 bytes, id: number)");
      return NULL;
    }
    ok = relay_expect(port->relay, a, b, id);
  }
  napi_get_boolean(env, ok, &result);
  return result;
}

static napi_value sent(napi_env env, napi_callback_info info) {
  napi_value arguments[1], result = NULL, number = NULL;
  uint32_t id;
  struct im_relay_sent sides[2];
  const struct data_port *port = object_this(env, info, &kind, arguments, 1);
  if (!port) return NULL;
  if (napi_get_value_uint32(env, arguments[0], &id) != napi_ok) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "sent(id: number)");
    return NULL;
  }
  if (!relay_sent(port->relay, id, sides)) return napi_get_null(env, &result) == napi_ok ? result : NULL;
  const uint64_t values[] = {sides[0].bytes, sides[0].unacknowledged, sides[1].bytes, sides[1].unacknowledged};
  if (napi_create_array_with_length(env, 4, &result) != napi_ok) return NULL;
  for (uint32_t i = 0; i < 4; i++) {
    if (napi_create_double(env, (double)values[i], &number) != napi_ok ||
        napi_set_element(env, result, i, number) != napi_ok)
      return NULL;
  }
  return result;
}

static napi_value probe(napi_env env, napi_callback_info info) {
  napi_value arguments[3], result = NULL;
  uint32_t id, side;
  bool on, ok = false;
  const struct data_port *port = object_this(env, info, &kind, arguments, 3);
  if (port) {
    if (napi_get_value_uint32(env, arguments[0], &id) != napi_ok ||
        napi_get_value_uint32(env, arguments[1], &side) != napi_ok || side > 1 ||
        napi_get_value_bool(env, arguments[2], &on) != napi_ok) {
      napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "probe(id: number, side: 0 or 1, on: boolean)");
      return NULL;
    }
    ok = relay_probe(port->relay, id, (int)side, on);
  }
  napi_get_boolean(env, ok, &result);
  return result;
}

bool data_port_number(napi_env env, napi_value value, uint32_t *number) {
  if (napi_get_value_uint32(env, value, number) == napi_ok) return true;
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "a caller, an address, a port or an id is not a number");
  return false;
}

napi_value data_port_act(napi_env env, napi_callback_info info, bool (*act)(struct im_relay *, uint32_t)) {
  napi_value argument, result = NULL;
  uint32_t number;
  struct im_relay *relay = data_port_relay(env, info, &argument, 1);
  if (relay && !data_port_number(env, argument, &number)) return NULL;
  napi_get_boolean(env, relay && act(relay, number), &result);
  return result;
}

static napi_value break_off(napi_env env, napi_callback_info info) { return data_port_act(env, info, relay_break_off); }

static napi_value withdraw(napi_env env, napi_callback_info info) { return data_port_act(env, info, relay_withdraw); }

static size_t most_pairs(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return MOST_PAIRS;
  size_t room = (size_t)limit.rlim_cur / 2 / DESCRIPTORS_OF_PAIR;
  return room < MOST_PAIRS ? room : MOST_PAIRS;
}

napi_value data_port_open(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  char text[INET_ADDRSTRLEN];
  size_t length = 0;
  uint32_t number = 0;
  if (!util_arguments(env, info, arguments, 3, "openDataPort(address, port, onEvent)")) return NULL;
  struct im_relay_options options = {.address = {.sin_family = AF_INET},
                                     .most_pairs = most_pairs(),
                                     .header_limit = HEADER_LIMIT,
                                     .pair_limit = PAIR_LIMIT,
                                     .probe_limit = PROBE_LIMIT,
                                     .on_event = on_relay_event};
  if (napi_get_value_string_utf8(env, arguments[0], text, sizeof text, &length) != napi_ok ||
      inet_pton(AF_INET, text, &options.address.sin_addr) != 1 ||
      napi_get_value_uint32(env, arguments[1], &number) != napi_ok || number > 65535) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_VALUE", "openDataPort(address: IPv4, port, onEvent)");
    return NULL;
  }
  options.address.sin_port = htons((uint16_t)number);
  struct data_port *port = calloc(1, sizeof *port);
  if (!port) {
    util_throw_errno(env, ENOMEM, "malloc", NULL);
    return NULL;
  }
  options.context = port;
  napi_value object = object_create(env, &port->object, &kind, arguments[2]);
  if (!object) return NULL;
  const char *syscall;
  uint16_t bound = 0;
  int error = relay_open(&options, &port->relay, &bound, &syscall);
  if (error != 0) {
    object_abandon(&port->object);
    char where[INET_ADDRSTRLEN + 8];
    snprintf(where, sizeof where, "%s:%u", text, number);
    util_throw_errno(env, error, syscall, where);
    return NULL;
  }
  object_open(env, &port->object);
  return set_number(env, object, "port", bound) ? object : NULL;
}
