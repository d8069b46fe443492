#include "swap.h"

#include "connect/watches.h"

#include <fcntl.h>

void swap_in(struct im_pending *pending, int fd, int end, int status, int flags) {
  pending->fd = fd;
  pending->inode = private_fd_inode(end);
  if (!(status & O_NONBLOCK)) {
    fcntl(end, F_SETFL, fcntl(end, F_GETFL) & ~O_NONBLOCK);
    fcntl(pending->real.fd, F_SETFL, status | O_NONBLOCK);
  }
  watches_hide(fd);
  libc_dup3(end, fd, flags & FD_CLOEXEC ? O_CLOEXEC : 0);
  watches_show(fd);
  libc_close(end);
}

/*
 * The socket takes over what the guest set at the placeholder meanwhile. Another process may have the placeholder too,
 * so that replacing it here would not end its registrations.
 */
static void put_back(struct im_pending *pending, int fd) {
  watches_hide(fd);
  int status = fcntl(fd, F_GETFL), flags = fcntl(fd, F_GETFD);
  int now = fcntl(pending->real.fd, F_GETFL);
  if ((status ^ now) & O_NONBLOCK) fcntl(pending->real.fd, F_SETFL, (now & ~O_NONBLOCK) | (status & O_NONBLOCK));
  libc_dup3(pending->real.fd, fd, flags & FD_CLOEXEC ? O_CLOEXEC : 0);
  watches_show(fd);
}

bool swap_back(struct im_pending *pending) {
  bool there = pending_stands_at(pending, pending->fd) && private_fd_valid(&pending->real);
  if (there) put_back(pending, pending->fd);
  if (pending->fd >= 0) watches_mark(pending->fd, false);
  return (pending->copied && swap_back_copies(pending)) || there;
}

bool swap_back_copies(struct im_pending *pending) {
  bool any = false;
  for (int fd = private_fd_floor() - 1; fd >= 0 && private_fd_valid(&pending->real); fd--) {
    if (!pending_stands_at(pending, fd)) continue;
    put_back(pending, fd);
    watches_mark(fd, false);
    any = true;
  }
  return any;
}
