/* Listeners, and the names of what they accept. */
#ifndef IMAGINARY_DIFFERENTIAL_PASSIVE_H
#define IMAGINARY_DIFFERENTIAL_PASSIVE_H

#include "differential.h"

static inline int listens(struct sockaddr_in where, int backlog, int flags) {
  int fd = tcp(flags);
  set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  binds(fd, where);
  result("listen", listen(fd, backlog));
  return fd;
}

static inline int accepts(int fd) {
  struct sockaddr_storage from = {0}, own = {0};
  socklen_t size = sizeof from, own_size = sizeof own;
  struct pollfd wanted = {.fd = fd, .events = POLLIN};
  poll(&wanted, 1, LIMIT_MS);
  int got = accept(fd, (struct sockaddr *)&from, &size);
  result("accept", got);
  if (got < 0) return got;
  getsockname(got, (struct sockaddr *)&own, &own_size);
  address("from", &from, size, v4_of(&own));
  local(got);
  remote(got);
  return got;
}

#endif
