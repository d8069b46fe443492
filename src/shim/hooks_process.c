#include "hook.h"
#include "init.h"
#include "orphan.h"
#include "pending.h"

#include <errno.h>
#include <sys/prctl.h>
#include <unistd.h>

/*
 * A guest may forbid itself to start threads (haproxy allows itself no process more, and threads count as such); then the
 * helper is started while it still can be. On 64-bit machines both forms of each call are the same.
 */
static void before_limit(int resource, const void *limit) {
  if (resource == RLIMIT_NPROC && limit && im_active()) pending_stay();
}

HOOK(int, setrlimit, (int resource, const struct rlimit *limit)) {
  before_limit(resource, limit);
  return libc_setrlimit(resource, limit);
}

HOOK(int, setrlimit64, (int resource, const struct rlimit *limit)) {
  before_limit(resource, limit);
  return libc_setrlimit64(resource, limit);
}

HOOK(int, prlimit, (pid_t pid, int resource, const struct rlimit *limit, struct rlimit *before)) {
  if (pid == 0 || pid == getpid()) before_limit(resource, limit);
  return libc_prlimit(pid, resource, limit, before);
}

HOOK(int, prlimit64, (pid_t pid, int resource, const struct rlimit *limit, struct rlimit *before)) {
  if (pid == 0 || pid == getpid()) before_limit(resource, limit);
  return libc_prlimit64(pid, resource, limit, before);
}

HOOK(int, prctl, (int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)) {
  int saved = errno, result = libc_prctl(option, a, b, c, d);
  if (option == PR_SET_PDEATHSIG && result != 0 && errno == EPERM && im_active()) {
    errno = saved;
    return orphan_set(a);
  }
  if (option == PR_GET_PDEATHSIG && result == 0 && im_active() && orphan_signal()) *(int *)a = orphan_signal();
  return result;
}
