/*
 * pipe: real pipes for guests' output. Node.js gives children sockets, and a guest cannot open /dev/stdout on a socket.
 */
#define _GNU_SOURCE
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

napi_value pipe_make(napi_env env, napi_callback_info info) {
  (void)info;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    util_throw_errno(env, errno, "pipe2", NULL);
    return NULL;
  }
  napi_value result, number;
  bool ok = napi_create_array_with_length(env, 2, &result) == napi_ok;
  for (uint32_t i = 0; ok && i < 2; i++) {
    ok = napi_create_int32(env, ends[i], &number) == napi_ok && napi_set_element(env, result, i, number) == napi_ok;
  }
  if (ok) return result;
  close(ends[0]);
  close(ends[1]);
  return NULL;
}
