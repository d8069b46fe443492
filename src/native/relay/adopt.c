#define _GNU_SOURCE
#include "parts.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/* Whoever is on this machine may connect to the listener in between. */
#define STRANGERS 16
#define CONNECT_LIMIT_US 200000

static int tcp_socket(void) { return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); }

/* The connection that is `own`'s, and nobody else's. -1 with errno. */
static int accept_own(int listener, int own) {
  struct sockaddr_in ours, from;
  socklen_t size = sizeof ours;
  if (getsockname(own, (struct sockaddr *)&ours, &size) != 0) return -1;
  for (int i = 0; i < STRANGERS; i++) {
    size = sizeof from;
    int fd = accept4(listener, (struct sockaddr *)&from, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return -1;
    if (from.sin_port == ours.sin_port && from.sin_addr.s_addr == ours.sin_addr.s_addr) return fd;
    close(fd);
  }
  errno = ECONNABORTED;
  return -1;
}

/* Connects `own` to `listener`. The other end, or -1 with errno. */
static int other_end(int listener, int own) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct timeval limit = {.tv_usec = CONNECT_LIMIT_US};
  socklen_t size = sizeof at;
  if (bind(listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(listener, STRANGERS) != 0 ||
      getsockname(listener, (struct sockaddr *)&at, &size) != 0 ||
      setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
      setsockopt(own, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0 ||
      connect(own, (struct sockaddr *)&at, sizeof at) != 0)
    return -1;
  int fd = accept_own(listener, own), flags = fcntl(own, F_GETFL);
  if (fd < 0) return -1;
  if (relay_set_options(fd) && flags >= 0 && fcntl(own, F_SETFL, flags | O_NONBLOCK) == 0) return fd;
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

/* TCP over loopback, and no pair of Unix sockets: a reset passes it. */
static int connected(int ends[2]) {
  int listener = tcp_socket(), error = 0;
  ends[0] = tcp_socket();
  ends[1] = listener >= 0 && ends[0] >= 0 ? other_end(listener, ends[0]) : -1;
  if (ends[1] < 0) error = errno;
  if (listener >= 0) close(listener);
  if (error && ends[0] >= 0) close(ends[0]);
  return error;
}

int relay_adopt(struct im_relay *relay, uint32_t address, uint16_t port, uint32_t *caller, int *fd) {
  int ends[2];
  int error = connected(ends);
  if (error) return error;
  reactor_lock(&relay->reactor);
  struct im_arrival *arrival = relay->callers ? callers_add(relay, ends[1], address, port) : NULL;
  if (arrival) *caller = arrival->caller;
  if (!relay->callers) close(ends[1]);
  reactor_unlock(&relay->reactor);
  reactor_wake(&relay->reactor);
  if (!arrival) {
    close(ends[0]);
    return ENOBUFS;
  }
  *fd = ends[0];
  return 0;
}
