#include "keep.h"

#include "libc.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* Above what guests usually reach, below where the kernel's table of descriptors gets big. */
int keep_floor(void) {
  struct rlimit limit;
  if (libc_getrlimit(RLIMIT_NOFILE, &limit) != 0) return 256;
  return limit.rlim_cur > 8192 ? 4096 : (int)(limit.rlim_cur / 2);
}

ino_t keep_inode(int fd) {
  struct stat status;
  return fd >= 0 && fstat(fd, &status) == 0 ? status.st_ino : 0;
}

bool keep_copy(int fd, struct im_kept *kept) {
  kept->fd = fcntl(fd, F_DUPFD_CLOEXEC, keep_floor());
  if (kept->fd < 0) kept->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (kept->fd < 0) return false;
  kept->inode = keep_inode(kept->fd);
  return true;
}

bool keep_move(int fd, struct im_kept *kept) {
  if (fd < 0) return false;
  bool done = keep_copy(fd, kept);
  int saved = errno;
  libc_close(fd);
  errno = saved;
  return done;
}

bool keep_valid(const struct im_kept *kept) { return kept->fd >= 0 && keep_inode(kept->fd) == kept->inode; }

void keep_close(struct im_kept *kept) {
  if (keep_valid(kept)) libc_close(kept->fd);
  *kept = IM_NONE;
}
