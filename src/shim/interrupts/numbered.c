#include "numbered.h"

#include "core/libc_files.h"
#include "core/pointer.h"
#include "interrupts.h"

#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>

/* What a call takes for its time. */
enum kind {
  OTHER,        /* no call that waits and is not restarted */
  UNTIMED,      /* nothing, or the kernel writes there what is left */
  MILLISECONDS, /* an int */
  RELATIVE,     /* a timespec that the kernel does not change; NULL: for ever */
  SLEEP         /* such a timespec, and then where to write what is left */
};

struct call {
  enum kind kind;
  int argument; /* which of them */
};

static struct call call_of(long number) {
  switch (number) {
#ifdef SYS_poll
  case SYS_poll:
#endif
#ifdef SYS_epoll_wait
  case SYS_epoll_wait: return (struct call){MILLISECONDS, number == SYS_epoll_wait ? 3 : 2};
#endif
  case SYS_epoll_pwait: return (struct call){MILLISECONDS, 3};
#ifdef SYS_epoll_pwait2
  case SYS_epoll_pwait2: return (struct call){RELATIVE, 3};
#endif
#ifdef SYS_select
  case SYS_select:
#endif
#ifdef SYS_pause
  case SYS_pause:
#endif
  case SYS_pselect6:
  case SYS_ppoll:
  case SYS_rt_sigsuspend:
  case SYS_semop:
  case SYS_msgsnd:
  case SYS_msgrcv: return (struct call){UNTIMED, 0};
  case SYS_semtimedop: return (struct call){RELATIVE, 3};
  case SYS_rt_sigtimedwait: return (struct call){RELATIVE, 2};
#ifdef SYS_io_pgetevents
  case SYS_io_pgetevents:
#endif
  case SYS_io_getevents: return (struct call){RELATIVE, 4};
  case SYS_nanosleep: return (struct call){SLEEP, 0};
  case SYS_clock_nanosleep: return (struct call){SLEEP, 2};
  default: return (struct call){OTHER, 0};
  }
}

static void *at(long address) { return (void *)(intptr_t)address; }

static long make(long number, const long a[6]) { return libc_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]); }

static long with_timeout(long number, struct call call, const long given[6]) {
  long result, a[6];
  struct timespec left;
  struct im_wait wait = interrupts_begin(call.kind != UNTIMED && given[call.argument] != 0);
  memcpy(a, given, sizeof a);
  while ((result = make(number, a)) < 0 && errno == EINTR && interrupts_again(&wait)) {
    if (call.kind == MILLISECONDS) a[call.argument] = interrupts_left_ms(&wait, (int)given[call.argument]);
    if (call.kind == RELATIVE)
      a[call.argument] = (long)(intptr_t)interrupts_left(&wait, at(given[call.argument]), &left);
  }
  return result;
}

static long sleeping(long number, int time, const long given[6]) {
  struct timespec left;
  long result, a[6];
  bool until = number == SYS_clock_nanosleep && given[1] & TIMER_ABSTIME;
  struct im_wait wait = interrupts_begin(false);
  memcpy(a, given, sizeof a);
  if (!until) a[time + 1] = (long)(intptr_t)&left;
  while ((result = make(number, a)) < 0 && errno == EINTR && interrupts_again(&wait))
    if (!until) a[time] = (long)(intptr_t)&left;
  bool cut = result < 0 && errno == EINTR && !until && given[time + 1];
  if (cut && !pointer_writable(at(given[time + 1]), sizeof left)) return libc_fail(EFAULT);
  if (cut) memcpy(at(given[time + 1]), &left, sizeof left);
  return result;
}

bool numbered_wait(long number, const long a[6], long *result) {
  struct call call = call_of(number);
  if (call.kind == OTHER) return false;
  *result = call.kind == SLEEP ? sleeping(number, call.argument, a) : with_timeout(number, call, a);
  return true;
}
