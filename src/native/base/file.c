#define _GNU_SOURCE
#include "fail.h"
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

bool file_write(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return fail(errno, "%s", path);
  bool ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text) || fail(errno, "%s", path);
  return close(fd), ok;
}
