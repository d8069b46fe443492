#define _GNU_SOURCE
#include "base/clock.h"
#include "base/file.h"
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FREEZE_LIMIT (2000 * IM_MS)

static int open_in(const char *cgroup, const char *file, int flags) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", cgroup, file);
  return open(path, flags | O_CLOEXEC);
}

/*
 * Waits until `file` of a cgroup says `wanted`. Version 2 raises POLLPRI on a change, version 1 has to be asked again.
 */
static bool wait_for(const char *cgroup, const char *file, const char *wanted, bool events) {
  int fd = open_in(cgroup, file, O_RDONLY);
  if (fd < 0) return fail(errno, "%s/%s", cgroup, file);
  int64_t deadline = clock_now() + FREEZE_LIMIT;
  bool reached = false;
  for (;;) {
    char text[256];
    ssize_t length = pread(fd, text, sizeof text - 1, 0);
    text[length > 0 ? length : 0] = '\0';
    reached = strstr(text, wanted) != NULL;
    int64_t left = deadline - clock_now();
    if (reached || left <= 0) break;
    if (events) {
      struct pollfd changed = {.fd = fd, .events = POLLPRI};
      poll(&changed, 1, (int)(left / IM_MS) + 1);
    } else {
      usleep(200);
    }
  }
  close(fd);
  return reached || fail(0, "%s/%s never said '%s'", cgroup, file, wanted);
}

static bool set(const char *cgroup, const char *file, const char *value) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", cgroup, file);
  return file_write(path, value);
}

bool freeze_start(enum im_freezer freezer, const char *cgroup, pid_t root) {
  switch (freezer) {
  case IM_FREEZER_V1:
    return set(cgroup, "freezer.state", "FROZEN") && wait_for(cgroup, "freezer.state", "FROZEN", false);
  case IM_FREEZER_V2: return set(cgroup, "cgroup.freeze", "1") && wait_for(cgroup, "cgroup.events", "frozen 1", true);
  default: return tree_stop(root, root != getpid());
  }
}

bool freeze_end(enum im_freezer freezer, const char *cgroup) {
  switch (freezer) {
  case IM_FREEZER_V1:
    return set(cgroup, "freezer.state", "THAWED") && wait_for(cgroup, "freezer.state", "THAWED", false);
  case IM_FREEZER_V2: return set(cgroup, "cgroup.freeze", "0") && wait_for(cgroup, "cgroup.events", "frozen 0", true);
  default: tree_continue(); return true;
  }
}
