/* sendDatagram: one UDP datagram from a guest's socket that was passed to us. */
#define _GNU_SOURCE
#include "connector/held.h"
#include "util.h"

napi_value datagram_binding_send(napi_env env, napi_callback_info info) {
  napi_value arguments[7], result;
  int fd;
  uint32_t numbers[5] = {0};
  napi_typedarray_type type;
  size_t length = 0;
  void *bytes = NULL;
  if (!util_arguments(env, info, arguments, 7, "sendDatagram(fd, data, address, port, source, sourcePort, marks)"))
    return NULL;
  if (!util_fd(env, arguments[0], &fd)) return NULL;
  bool ok = napi_get_typedarray_info(env, arguments[1], &type, &length, &bytes, NULL, NULL) == napi_ok &&
            type == napi_uint8_array;
  for (int i = 0; ok && i < 5; i++) ok = napi_get_value_uint32(env, arguments[i + 2], &numbers[i]) == napi_ok;
  if (!ok) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE",
                          "sendDatagram(fd, data: Uint8Array, address, port, source, sourcePort, marks: numbers)");
    return NULL;
  }
  struct im_held held = {.real = numbers[0],
                         .real_port = (uint16_t)numbers[1],
                         .source = numbers[2],
                         .source_port = (uint16_t)numbers[3],
                         .marks = numbers[4]};
  napi_get_boolean(env, held_send(fd, bytes, length, &held), &result);
  return result;
}
