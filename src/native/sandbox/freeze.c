#define _GNU_SOURCE
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FREEZE_LIMIT_MS 2000

bool write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return fail(errno, "%s", path);
  ssize_t length = (ssize_t)strlen(text);
  bool ok = write(fd, text, (size_t)length) == length;
  if (!ok) fail(errno, "%s", path);
  close(fd);
  return ok;
}

static int open_in(const char *cgroup, const char *file, int flags) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", cgroup, file);
  return open(path, flags | O_CLOEXEC);
}

bool make_cgroups(const struct options *options, struct missing *missing) {
  bool all = true;
  for (int i = 0; i < options->cgroup_count; i++) {
    if (mkdir(options->cgroups[i], 0755) == 0 || errno == EEXIST) continue;
    fail(errno, "mkdir %s", options->cgroups[i]);
    miss(missing, "cgroup: %s", failure);
    all = false;
  }
  for (int i = 0; i < options->setting_count; i++) {
    if (write_file(options->settings[i].file, options->settings[i].value)) continue;
    miss(missing, "limit: %s", failure);
    all = false;
  }
  return all;
}

bool join_cgroups(const struct options *options, pid_t pid, struct missing *missing, bool *freezable) {
  bool all = true;
  char number[16], path[4096];
  snprintf(number, sizeof number, "%d", (int)pid);
  for (int i = 0; i < options->cgroup_count; i++) {
    snprintf(path, sizeof path, "%s/cgroup.procs", options->cgroups[i]);
    bool joined = write_file(path, number);
    if (options->freezer_cgroup && strcmp(options->freezer_cgroup, options->cgroups[i]) == 0) *freezable = joined;
    if (joined) continue;
    miss(missing, "cgroup: %s", failure);
    all = false;
  }
  return all;
}

void remove_cgroups(const struct options *options) {
  for (int i = options->cgroup_count - 1; i >= 0; i--) {
    /* The last process may still be on its way out of the cgroup after it was reaped. */
    for (int tries = 0; tries < 2000 && rmdir(options->cgroups[i]) != 0 && errno == EBUSY; tries++) usleep(1000);
  }
}

static long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/*
 * Waits until `file` of a cgroup says `wanted`. Version 2 raises POLLPRI on a change, version 1 has to be asked again.
 */
static bool wait_for(const char *cgroup, const char *file, const char *wanted, bool events) {
  int fd = open_in(cgroup, file, O_RDONLY);
  if (fd < 0) return fail(errno, "%s/%s", cgroup, file);
  long deadline = now_ms() + FREEZE_LIMIT_MS;
  bool reached = false;
  for (;;) {
    char text[256];
    ssize_t length = pread(fd, text, sizeof text - 1, 0);
    text[length > 0 ? length : 0] = '\0';
    reached = strstr(text, wanted) != NULL;
    long left = deadline - now_ms();
    if (reached || left <= 0) break;
    if (events) {
      struct pollfd changed = {.fd = fd, .events = POLLPRI};
      poll(&changed, 1, (int)left);
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
  return write_file(path, value);
}

bool freeze(enum freezer freezer, const char *cgroup, pid_t root) {
  switch (freezer) {
  case FREEZER_V1: return set(cgroup, "freezer.state", "FROZEN") && wait_for(cgroup, "freezer.state", "FROZEN", false);
  case FREEZER_V2: return set(cgroup, "cgroup.freeze", "1") && wait_for(cgroup, "cgroup.events", "frozen 1", true);
  default: return stop_tree(root, root != getpid());
  }
}

bool thaw(enum freezer freezer, const char *cgroup, pid_t root) {
  switch (freezer) {
  case FREEZER_V1: return set(cgroup, "freezer.state", "THAWED") && wait_for(cgroup, "freezer.state", "THAWED", false);
  case FREEZER_V2: return set(cgroup, "cgroup.freeze", "0") && wait_for(cgroup, "cgroup.events", "frozen 0", true);
  default: continue_tree(root, root != getpid()); return true;
  }
}
