#include "hook.h"
#include "core/shim.h"
#include "process/pdeathsig.h"
#include "connect/waiting/waiting.h"
#include "core/room.h"

#include <errno.h>
#include <sys/prctl.h>
#include <unistd.h>

/*
 * A guest may forbid itself to start threads (haproxy allows itself no process more, and threads count as processes):
 * the helper is started before. On 64-bit machines both forms of each call are the same.
 */
static void before_limit(int resource, const void *limit) {
  if (resource == RLIMIT_NPROC && limit && shim_active()) waiting_stay();
}

static __attribute__((noinline)) int descriptors(const struct rlimit *limit, struct rlimit *before) {
  struct rlimit old;
  if (libc_prlimit(0, RLIMIT_NOFILE, 0, &old) != 0) return -1;
  room_shown(&old);
  if (limit && room_set(limit) != 0) return -1;
  if (before) *before = old;
  return 0;
}

/* AddressSanitizer sets other limits before it is ready for anything that has variables in memory. */
static int limits(pid_t pid, int resource, const struct rlimit *limit, struct rlimit *before) {
  bool concerns = resource == RLIMIT_NPROC || resource == RLIMIT_NOFILE;
  if (!concerns || (pid != 0 && pid != getpid()) || !shim_active()) return libc_prlimit(pid, resource, limit, before);
  before_limit(resource, limit);
  return resource == RLIMIT_NOFILE ? descriptors(limit, before) : libc_prlimit(pid, resource, limit, before);
}

HOOK(int, getrlimit, (int resource, struct rlimit *limit)) {
  int result = libc_getrlimit(resource, limit);
  if (result == 0 && resource == RLIMIT_NOFILE && shim_active()) room_shown(limit);
  return result;
}

HOOK(int, setrlimit, (int resource, const struct rlimit *limit)) { return limits(0, resource, limit, 0); }

HOOK(int, prlimit, (pid_t pid, int resource, const struct rlimit *limit, struct rlimit *before)) {
  return limits(pid, resource, limit, before);
}

HOOK(int, prctl, (int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)) {
  int saved = errno, result = libc_prctl(option, a, b, c, d);
  if (option == PR_SET_PDEATHSIG && result != 0 && errno == EPERM && shim_active()) {
    errno = saved;
    return pdeathsig_set(a);
  }
  if (option == PR_GET_PDEATHSIG && result == 0 && shim_active() && pdeathsig_get()) *(int *)a = pdeathsig_get();
  return result;
}

HOOK_ALIAS(getrlimit, __getrlimit)
HOOK_ALIAS(getrlimit, getrlimit64)
HOOK_ALIAS(setrlimit, setrlimit64)
HOOK_ALIAS(prlimit, prlimit64)
