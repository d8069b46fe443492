/* syscall(): the calls on paths that programs make by number (libuv's statx, jemalloc, sandboxes). The rest is passed on. */
#include "files.h"
#include "hook.h"
#include "libc_files.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/syscall.h>

/* Which argument is the path, and whether the one before is its directory. */
enum { NONE, FIRST, SECOND_AT };

static int path_of(long number) {
  switch (number) {
  case SYS_openat:
#ifdef SYS_openat2
  case SYS_openat2:
#endif
  case SYS_newfstatat:
#ifdef SYS_statx
  case SYS_statx:
#endif
  case SYS_faccessat:
#ifdef SYS_faccessat2
  case SYS_faccessat2:
#endif
  case SYS_readlinkat: return SECOND_AT;
#ifdef SYS_open
  case SYS_open:
  case SYS_stat:
  case SYS_lstat:
  case SYS_access:
  case SYS_readlink: return FIRST;
#endif
  default: return NONE;
  }
}

static __attribute__((noinline)) long on_path(int kind, long number, long a, long b, long c, long d, long e, long f) {
  const char *path = (const char *)(intptr_t)(kind == FIRST ? a : b);
  IM_FILE(real, kind == FIRST ? AT_FDCWD : (int)a, path)
  if (kind == FIRST) return libc_syscall(number, (long)(intptr_t)real, b, c, d, e, f);
  return libc_syscall(number, a, (long)(intptr_t)real, c, d, e, f);
}

/* As in open, the variable arguments are ordinary ones to the machine; those that are not there are not looked at. */
HOOK(long, syscall, (long number, long a, long b, long c, long d, long e, long f)) {
  int kind = path_of(number);
  return kind == NONE ? libc_syscall(number, a, b, c, d, e, f) : on_path(kind, number, a, b, c, d, e, f);
}
