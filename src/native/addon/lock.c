/* lockFile: a file that says which process owns a folder, for as long as that process lives, however it ends. */
#define _GNU_SOURCE
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * 0: locked. Above 0: the process that has it. Below: an errno, negated (EAGAIN: a process of another pid namespace has
 * it).
 */
static int try_lock(int fd) {
  for (;;) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_SETLK, &lock) == 0) return 0;
    if (errno != EAGAIN && errno != EACCES) return -errno;
    if (fcntl(fd, F_GETLK, &lock) != 0) return -errno;
    if (lock.l_type == F_UNLCK) continue; /* given back meanwhile */
    return lock.l_pid > 0 ? lock.l_pid : -EAGAIN;
  }
}

/* The owner before us may have removed the file between our opening and our locking it. */
static bool is_in_place(int fd, const char *path) {
  struct stat ours, there;
  return fstat(fd, &ours) == 0 && stat(path, &there) == 0 && ours.st_ino == there.st_ino && ours.st_dev == there.st_dev;
}

napi_value lock_file(napi_env env, napi_callback_info info) {
  napi_value argument, result, number;
  char path[IM_PATH_MAX];
  if (!util_arguments(env, info, &argument, 1, "lockFile(path)") || !util_path(env, argument, path)) return NULL;
  int fd, holder;
  for (;;) {
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    holder = fd < 0 ? -errno : try_lock(fd);
    if (holder != 0 || is_in_place(fd, path)) break;
    close(fd);
  }
  if (holder != 0 && fd >= 0) close(fd);
  if (holder < 0) {
    util_throw_errno(env, -holder, fd < 0 ? "open" : "fcntl", path);
    return NULL;
  }
  if (napi_create_array_with_length(env, 2, &result) == napi_ok &&
      napi_create_int32(env, holder ? -1 : fd, &number) == napi_ok &&
      napi_set_element(env, result, 0, number) == napi_ok && napi_create_int32(env, holder, &number) == napi_ok &&
      napi_set_element(env, result, 1, number) == napi_ok)
    return result;
  if (!holder) close(fd);
  return NULL;
}
