#include "private_fd.h"

#include "libc.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* Above what guests usually reach, below where the kernel's table of descriptors gets big. */
int private_fd_floor(void) {
  struct rlimit limit;
  if (libc_getrlimit(RLIMIT_NOFILE, &limit) != 0) return 256;
  return limit.rlim_cur > 8192 ? 4096 : (int)(limit.rlim_cur / 2);
}

ino_t private_fd_inode(int fd) {
  struct stat status;
  return fd >= 0 && fstat(fd, &status) == 0 ? status.st_ino : 0;
}

bool private_fd_copy(int fd, struct im_private_fd *kept) {
  kept->fd = fcntl(fd, F_DUPFD_CLOEXEC, private_fd_floor());
  if (kept->fd < 0) kept->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (kept->fd < 0) return false;
  kept->inode = private_fd_inode(kept->fd);
  return true;
}

bool private_fd_move(int fd, struct im_private_fd *kept) {
  if (fd < 0) return false;
  bool done = private_fd_copy(fd, kept);
  IM_KEEP_ERRNO;
  libc_close(fd);
  return done;
}

bool private_fd_valid(const struct im_private_fd *kept) {
  return kept->fd >= 0 && private_fd_inode(kept->fd) == kept->inode;
}

void private_fd_close(struct im_private_fd *kept) {
  if (private_fd_valid(kept)) libc_close(kept->fd);
  *kept = IM_NONE;
}
