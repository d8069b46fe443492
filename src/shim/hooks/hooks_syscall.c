/*
 * syscall(): the calls on paths and on sockets' addresses that programs make by number (libuv's statx and sendmmsg,
 * jemalloc, sandboxes), and io_uring, which is declined (hooks_uring.c). The rest is passed on.
 */
#include "connect/connect.h"
#include "datagram/datagram.h"
#include "files/files.h"
#include "hook.h"
#include "interrupts/interrupts.h"
#include "interrupts/numbered.h"
#include "names/hostname.h"
#include "core/libc_files.h"
#include "listen/listen.h"
#include "listen/sockname.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/syscall.h>

/* Which argument is the path, and whether the one before is its directory; or that there is no such call. */
enum { NONE, FIRST, SECOND_AT, DECLINED };

static int kind_of(long number) {
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
#ifdef SYS_io_uring_setup
  case SYS_io_uring_setup: return DECLINED;
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

static void *at(long address) { return (void *)(intptr_t)address; }

/* False: none of these. */
static bool on_socket(long number, const long a[6], long *result) {
  int fd = (int)a[0];
  switch (number) {
  case SYS_connect: *result = connect_socket(fd, at(a[1]), (socklen_t)a[2]); break;
  case SYS_bind: *result = listen_bind(fd, at(a[1]), (socklen_t)a[2]); break;
  case SYS_listen: *result = listen_start(fd, (int)a[1]); break;
  case SYS_accept4: *result = sockname_accept(fd, at(a[1]), at(a[2]), (int)a[3], libc_accept4); break;
  case SYS_getsockname: *result = sockname_local(fd, at(a[1]), at(a[2])); break;
  case SYS_getpeername: *result = sockname_peer(fd, at(a[1]), at(a[2])); break;
  case SYS_sendto: *result = datagram_sendto(fd, at(a[1]), (size_t)a[2], (int)a[3], at(a[4]), (socklen_t)a[5]); break;
  case SYS_sendmsg: *result = datagram_sendmsg(fd, at(a[1]), (int)a[2]); break;
  case SYS_sendmmsg: *result = datagram_sendmmsg(fd, at(a[1]), (unsigned)a[2], (int)a[3]); break;
  case SYS_recvfrom: *result = datagram_recvfrom(fd, at(a[1]), (size_t)a[2], (int)a[3], at(a[4]), at(a[5])); break;
  case SYS_recvmsg: *result = datagram_recvmsg(fd, at(a[1]), (int)a[2]); break;
  case SYS_recvmmsg: *result = datagram_recvmmsg(fd, at(a[1]), (unsigned)a[2], (int)a[3], at(a[4])); break;
  default: return false;
  }
  return true;
}

static bool on_socket_again(long number, const long a[6], long *result) {
  struct im_wait wait = interrupts_begin(interrupts_limits);
  bool receives = number == SYS_accept4 || number == SYS_recvfrom || number == SYS_recvmsg || number == SYS_recvmmsg;
  if (!on_socket(number, a, result)) return false;
  while (*result < 0 && errno == EINTR &&
         interrupts_socket_again(&wait, (int)a[0], receives ? SO_RCVTIMEO : SO_SNDTIMEO,
                                 number == SYS_connect ? EINPROGRESS : EAGAIN)) {
    if (number == SYS_connect)
      *result = libc_connect((int)a[0], at(a[1]), (socklen_t)a[2]);
    else
      on_socket(number, a, result);
  }
  return true;
}

/* As in open, the variable arguments are ordinary ones to the machine; those that are not there are not looked at. */
HOOK(long, syscall, (long number, long a, long b, long c, long d, long e, long f)) {
  long result;
  if ((number == SYS_sethostname || number == SYS_setdomainname) && !hostname_may_set()) return -1;
  if (on_socket_again(number, (long[]){a, b, c, d, e, f}, &result)) return result;
  if (interrupts_expected && numbered_wait(number, (long[]){a, b, c, d, e, f}, &result)) return result;
  int kind = kind_of(number);
  if (kind == NONE) return libc_syscall(number, a, b, c, d, e, f);
  if (kind != DECLINED) return on_path(kind, number, a, b, c, d, e, f);
  return libc_fail(ENOSYS);
}
