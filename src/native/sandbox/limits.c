#define _GNU_SOURCE
#include "sandbox.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LAMBDA_DESCRIPTORS 1024
#define LAMBDA_PROCESSES 1024

static bool limit(int resource, rlim_t value) {
  struct rlimit old;
  if (getrlimit(resource, &old) != 0) return fail(errno, "getrlimit");
  if (old.rlim_max != RLIM_INFINITY && old.rlim_max < value) value = old.rlim_max;
  struct rlimit new = {.rlim_cur = value, .rlim_max = value};
  return setrlimit(resource, &new) == 0 || fail(errno, "setrlimit");
}

bool limits_set(enum im_mode mode) {
  if (!limit(RLIMIT_NOFILE, LAMBDA_DESCRIPTORS) || !limit(RLIMIT_CORE, 0)) return false;
  /* Counted per user: only where the sandbox has users of its own. Elsewhere it is the pids cgroup that limits. */
  return mode != IM_MODE_USER || limit(RLIMIT_NPROC, LAMBDA_PROCESSES);
}

/* Without them, and without any way back to them, uid 0 is a user like others (that owns root's files). */
static bool drop_capabilities(void) {
  for (int capability = 0; capability < 64; capability++) prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct none[2];
  memset(none, 0, sizeof none);
  return syscall(SYS_capset, &header, none) == 0 || fail(errno, "capset");
}

bool limits_drop_privileges(const struct im_options *options, enum im_mode mode) {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail(errno, "no_new_privs");
  if (mode == IM_MODE_ROOT) {
    for (int capability = 0; capability < 64; capability++) prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
    if (setgroups(0, NULL) != 0) return fail(errno, "setgroups");
    if (setresgid(options->gid, options->gid, options->gid) != 0) return fail(errno, "setresgid");
    if (setresuid(options->uid, options->uid, options->uid) != 0) return fail(errno, "setresuid");
  }
  return drop_capabilities();
}
