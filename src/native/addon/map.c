/* mapFile: a file of the run directory, mapped shared with the guests. */
#define _GNU_SOURCE
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void unmap(napi_env env, void *data, void *hint) {
  (void)env;
  munmap(data, (size_t)(uintptr_t)hint);
}

/* Blocks are reserved here: on a full disk this fails with ENOSPC, where a sparse file would be a SIGBUS much later. */
static int size_file(int fd, off_t size) {
  if (ftruncate(fd, size) != 0) return errno;
  int error = posix_fallocate(fd, 0, size);
  return error == EOPNOTSUPP || error == EINVAL ? 0 : error;
}

static void *open_and_map(const char *path, size_t size, int *error, const char **syscall) {
  *syscall = "open";
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    *error = errno;
    return NULL;
  }
  *syscall = "fallocate";
  *error = size_file(fd, (off_t)size);
  void *data = NULL;
  if (*error == 0) {
    *syscall = "mmap";
    data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED) {
      *error = errno;
      data = NULL;
    }
  }
  close(fd);
  return data;
}

napi_value map_file(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  char path[IM_PATH_MAX];
  int64_t size = 0;
  if (!util_arguments(env, info, arguments, 2, "mapFile(path, size)")) return NULL;
  if (!util_path(env, arguments[0], path)) return NULL;
  if (napi_get_value_int64(env, arguments[1], &size) != napi_ok || size <= 0) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "size must be a positive number");
    return NULL;
  }
  int error = 0;
  const char *syscall = NULL;
  void *data = open_and_map(path, (size_t)size, &error, &syscall);
  if (!data) {
    util_throw_errno(env, error, syscall, path);
    return NULL;
  }
  napi_value buffer;
  if (napi_create_external_arraybuffer(env, data, (size_t)size, unmap, (void *)(uintptr_t)size, &buffer) != napi_ok) {
    munmap(data, (size_t)size);
    napi_throw_error(env, NULL, "this Node.js allows no external array buffers");
    return NULL;
  }
  return buffer;
}
