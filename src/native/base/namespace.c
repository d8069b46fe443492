#define _GNU_SOURCE
#include "fail.h"
#include "file.h"
#include "namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

bool namespace_join(const char *path, int kind) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail(errno, "%s", path);
  bool ok = setns(fd, kind) == 0 || fail(errno, "setns %s", path);
  return close(fd), ok;
}

static bool write_map(pid_t pid, const char *file, const char *text) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
  return file_write(path, text);
}

bool namespace_map(pid_t pid, uid_t uid, uid_t outside_uid, gid_t gid, gid_t outside_gid) {
  char uids[64], gids[64];
  snprintf(uids, sizeof uids, "%u %u 1", (unsigned)uid, (unsigned)outside_uid);
  snprintf(gids, sizeof gids, "%u %u 1", (unsigned)gid, (unsigned)outside_gid);
  return write_map(pid, "setgroups", "deny") && write_map(pid, "gid_map", gids) && write_map(pid, "uid_map", uids);
}
