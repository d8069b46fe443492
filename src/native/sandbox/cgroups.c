#define _GNU_SOURCE
#include "base/file.h"
#include "sandbox.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool cgroups_make(const struct im_options *options, struct im_missing *missing) {
  bool all = true;
  for (int i = 0; i < options->cgroup_count; i++) {
    if (mkdir(options->cgroups[i], 0755) == 0 || errno == EEXIST) continue;
    fail(errno, "mkdir %s", options->cgroups[i]);
    report_missing(missing, "cgroup: %s", fail_message);
    all = false;
  }
  for (int i = 0; i < options->setting_count; i++) {
    if (file_write(options->settings[i].file, options->settings[i].value)) continue;
    report_missing(missing, "limit: %s", fail_message);
    all = false;
  }
  return all;
}

bool cgroups_join(const struct im_options *options, pid_t pid, struct im_missing *missing, bool *freezable) {
  bool all = true;
  char number[16], path[4096];
  snprintf(number, sizeof number, "%d", (int)pid);
  for (int i = 0; i < options->cgroup_count; i++) {
    snprintf(path, sizeof path, "%s/cgroup.procs", options->cgroups[i]);
    bool joined = file_write(path, number);
    if (options->freezer_cgroup && strcmp(options->freezer_cgroup, options->cgroups[i]) == 0) *freezable = joined;
    if (joined) continue;
    report_missing(missing, "cgroup: %s", fail_message);
    all = false;
  }
  return all;
}

void cgroups_remove(const struct im_options *options) {
  for (int i = options->cgroup_count - 1; i >= 0; i--) {
    /* The last process may still be on its way out of the cgroup after it was reaped. */
    for (int tries = 0; tries < 2000 && rmdir(options->cgroups[i]) != 0 && errno == EBUSY; tries++) usleep(1000);
  }
}
