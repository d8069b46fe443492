/* Methods of the data port for clients from outside. */
#define _GNU_SOURCE
#include "data_port.h"

#include <errno.h>
#include <string.h>

static bool preface_of(napi_env env, napi_value value, struct im_preface *preface) {
  napi_typedarray_type type;
  size_t length = 0;
  void *bytes = NULL;
  if (napi_get_typedarray_info(env, value, &type, &length, &bytes, NULL, NULL) == napi_ok && type == napi_uint8_array &&
      length <= IM_PREFACE_MOST) {
    *preface = (struct im_preface){.size = (uint8_t)length};
    if (length) memcpy(preface->bytes, bytes, length);
    return true;
  }
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "a preface is no Uint8Array of 28 bytes at most");
  return false;
}

static napi_value boolean(napi_env env, bool value) {
  napi_value result = NULL;
  napi_get_boolean(env, value, &result);
  return result;
}

static napi_value integer(napi_env env, int32_t value) {
  napi_value result = NULL;
  napi_create_int32(env, value, &result);
  return result;
}

static bool set(napi_env env, napi_value object, const char *name, uint32_t number) {
  napi_value value = NULL;
  return napi_create_uint32(env, number, &value) == napi_ok &&
         napi_set_named_property(env, object, name, value) == napi_ok;
}

bool data_port_describe_caller(napi_env env, napi_value object, const struct im_relay_event *event) {
  napi_value hello = NULL;
  switch (event->kind) {
  case IM_RELAY_CALLER:
    return set(env, object, "ingress", event->ingress) && set(env, object, "address", event->address) &&
           set(env, object, "port", event->port);
  case IM_RELAY_CALLER_HELLO:
    return napi_create_buffer_copy(env, event->hello_size, event->hello ? (void *)event->hello : "", NULL, &hello) ==
               napi_ok &&
           napi_set_named_property(env, object, "hello", hello) == napi_ok;
  default: return true;
  }
}

napi_value data_port_accept(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  int listener;
  uint32_t number;
  struct im_relay *relay = data_port_relay(env, info, arguments, 3);
  if (!relay) return NULL;
  if (!util_fd(env, arguments[0], &listener) || !data_port_number(env, arguments[1], &number)) return NULL;
  return integer(env, relay_accept(relay, listener, number, exposed_clients_of(env, arguments[2])));
}

napi_value data_port_lead(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  uint32_t numbers[3];
  int64_t lead;
  struct im_relay *relay = data_port_relay(env, info, arguments, 4);
  if (!relay) return boolean(env, false);
  for (int i = 0; i < 3; i++)
    if (!data_port_number(env, arguments[i], &numbers[i])) return NULL;
  if (napi_get_value_int64(env, arguments[3], &lead) != napi_ok) lead = 0;
  return boolean(env, relay_lead(relay, numbers[0], numbers[1], (uint16_t)numbers[2], (uint64_t)lead));
}

napi_value data_port_hear(napi_env env, napi_callback_info info) { return data_port_act(env, info, relay_hear); }

napi_value data_port_refuse(napi_env env, napi_callback_info info) { return data_port_act(env, info, relay_refuse); }

napi_value data_port_take(napi_env env, napi_callback_info info) {
  napi_value argument;
  uint32_t caller;
  struct im_relay *relay = data_port_relay(env, info, &argument, 1);
  if (relay && !data_port_number(env, argument, &caller)) return NULL;
  return integer(env, relay ? relay_take(relay, caller) : -1);
}

napi_value data_port_adopt(napi_env env, napi_callback_info info) {
  napi_value arguments[2], result = NULL;
  uint32_t address, port, caller = 0;
  int fd = -1;
  struct im_relay *relay = data_port_relay(env, info, arguments, 2);
  if (relay && (!data_port_number(env, arguments[0], &address) || !data_port_number(env, arguments[1], &port)))
    return NULL;
  int error = relay ? relay_adopt(relay, address, (uint16_t)port, &caller, &fd) : ESHUTDOWN;
  int64_t values[] = {error, caller, fd};
  if (napi_create_array_with_length(env, 3, &result) != napi_ok) return NULL;
  for (uint32_t i = 0; i < 3; i++) {
    napi_value value = NULL;
    if (napi_create_int64(env, values[i], &value) != napi_ok || napi_set_element(env, result, i, value) != napi_ok)
      return NULL;
  }
  return result;
}

napi_value data_port_admit(napi_env env, napi_callback_info info) {
  napi_value arguments[5];
  uint32_t caller, id;
  unsigned char *a, *b;
  struct im_preface preface;
  struct im_relay *relay = data_port_relay(env, info, arguments, 5);
  if (!relay) return boolean(env, false);
  if (!data_port_number(env, arguments[0], &caller) || !data_port_number(env, arguments[3], &id) ||
      !preface_of(env, arguments[4], &preface))
    return NULL;
  if (!data_port_token(env, arguments[1], &a) || !data_port_token(env, arguments[2], &b)) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "admit: two tokens of 32 bytes");
    return NULL;
  }
  return boolean(env, relay_admit(relay, caller, a, b, id, &preface));
}

napi_value data_port_connect(napi_env env, napi_callback_info info) {
  napi_value arguments[6];
  uint32_t numbers[5];
  struct im_preface preface;
  struct im_relay *relay = data_port_relay(env, info, arguments, 6);
  if (!relay) return integer(env, ESHUTDOWN);
  for (int i = 0; i < 5; i++)
    if (!data_port_number(env, arguments[i], &numbers[i])) return NULL;
  if (!preface_of(env, arguments[5], &preface)) return NULL;
  struct im_destination to = {numbers[0], numbers[1], numbers[2], numbers[3], (uint16_t)numbers[4]};
  return integer(env, relay_connect(relay, &to, &preface));
}
