/* acknowledge: sends what a TCP connection owes its other side. */
#include "util.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

napi_value tcp_acknowledge(napi_env env, napi_callback_info info) {
  napi_value argument;
  int fd, on = 1;
  if (!util_arguments(env, info, &argument, 1, "acknowledge(fd)") || !util_fd(env, argument, &fd)) return NULL;
  /* Linux sends an acknowledgement that waits to go along with data. */
  setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
  return NULL;
}
