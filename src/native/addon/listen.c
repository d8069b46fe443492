/*
 * listen: a socket that listens for connections, or is bound for datagrams, as a descriptor that another program may be
 * given. A server of Node.js begins to accept by itself.
 */
#define _GNU_SOURCE
#include "util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 1024

/* The descriptor, or -1 with errno and *syscall. *port: the port that it is bound to, 0 lets the kernel choose. */
static int listen_on(struct in_addr address, uint16_t *port, bool datagrams, const char **syscall) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = address, .sin_port = htons(*port)};
  socklen_t length = sizeof to;
  int type = datagrams ? SOCK_DGRAM : SOCK_STREAM, one = 1;
  int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  *syscall = "socket";
  if (fd < 0) return -1;
  *syscall = datagrams ? "bind" : "listen";
  if ((datagrams || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0) &&
      bind(fd, (struct sockaddr *)&to, length) == 0 && (datagrams || listen(fd, BACKLOG) == 0) &&
      getsockname(fd, (struct sockaddr *)&to, &length) == 0) {
    *port = ntohs(to.sin_port);
    return fd;
  }
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

napi_value listen_at(napi_env env, napi_callback_info info) {
  napi_value arguments[3], result = NULL, number = NULL;
  char text[INET_ADDRSTRLEN];
  size_t length = 0;
  uint32_t given = 0;
  bool datagrams = false;
  struct in_addr address;
  if (!util_arguments(env, info, arguments, 3, "listen(address, port, datagrams)")) return NULL;
  if (napi_get_value_string_utf8(env, arguments[0], text, sizeof text, &length) != napi_ok ||
      inet_pton(AF_INET, text, &address) != 1 || napi_get_value_uint32(env, arguments[1], &given) != napi_ok ||
      given > 65535 || napi_get_value_bool(env, arguments[2], &datagrams) != napi_ok) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_VALUE", "listen(address: IPv4, port, datagrams: boolean)");
    return NULL;
  }
  uint16_t port = (uint16_t)given;
  const char *syscall;
  int fd = listen_on(address, &port, datagrams, &syscall);
  if (fd < 0) {
    char where[INET_ADDRSTRLEN + 8];
    int error = errno;
    snprintf(where, sizeof where, "%s:%u", text, given);
    util_throw_errno(env, error, syscall, where);
    return NULL;
  }
  bool ok = napi_create_array_with_length(env, 2, &result) == napi_ok &&
            napi_create_int32(env, fd, &number) == napi_ok && napi_set_element(env, result, 0, number) == napi_ok &&
            napi_create_uint32(env, port, &number) == napi_ok && napi_set_element(env, result, 1, number) == napi_ok;
  if (ok) return result;
  close(fd);
  return NULL;
}
