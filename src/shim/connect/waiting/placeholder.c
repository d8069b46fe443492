#include "placeholder.h"

#include "core/libc.h"

#include <errno.h>
#include <poll.h>

bool placeholder_make(int *end, struct im_private_fd *waker) {
  static const char filler[4096];
  int pair[2], small = 1;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) return false;
  if (!private_fd_move(pair[1], waker)) {
    int saved = errno;
    libc_close(pair[0]);
    errno = saved;
    return false;
  }
  libc_setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
  while (libc_send(pair[0], filler, sizeof filler, MSG_NOSIGNAL) > 0) continue;
  *end = pair[0];
  return true;
}

void placeholder_drain(const struct im_private_fd *waker) {
  char filler[512]; /* on a guest's stack, which may be that of a signal's handler */
  while (private_fd_valid(waker) && recv(waker->fd, filler, sizeof filler, MSG_DONTWAIT) > 0) continue;
}

void placeholder_poke(const struct im_private_fd *waker) {
  if (private_fd_valid(waker)) (void)libc_send(waker->fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

bool placeholder_gone(const struct im_private_fd *waker) {
  struct pollfd wanted = {.fd = waker->fd};
  return !private_fd_valid(waker) || (poll(&wanted, 1, 0) == 1 && wanted.revents & (POLLHUP | POLLERR | POLLNVAL));
}
