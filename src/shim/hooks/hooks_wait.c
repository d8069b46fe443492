/*
 * Calls that wait, and that the kernel does not restart after a signal's handler. Which calls these are, and which need
 * no hook: interrupts/README.md.
 */
#include "connect/marks.h"
#include "core/libc_waits.h"
#include "hook.h"
#include "interrupts/interrupts.h"
#include "interrupts/sleeps.h"

/* ---- descriptors ---- */

HOOK(int, poll, (struct pollfd * set, nfds_t count, int timeout)) {
  int result, left = timeout;
  IM_WAIT(timeout > 0, result = libc_poll(set, count, left), result < 0 ? errno : 0,
          left = interrupts_left_ms(&wait, timeout));
  return result;
}

/* Programs that are compiled with _FORTIFY_SOURCE call this. Only libc knows how to end one that gives too little. */
HOOK(int, __poll_chk, (struct pollfd * set, nfds_t count, int timeout, size_t room)) {
  return room / sizeof *set < count ? libc___poll_chk(set, count, timeout, room) : hook_poll(set, count, timeout);
}

HOOK(int, ppoll, (struct pollfd * set, nfds_t count, const struct timespec *timeout, const sigset_t *mask)) {
  int result;
  struct timespec rest;
  const struct timespec *left = timeout;
  IM_WAIT(timeout, result = libc_ppoll(set, count, left, mask), result < 0 ? errno : 0,
          left = interrupts_left(&wait, timeout, &rest));
  return result;
}

HOOK(int, __ppoll_chk,
     (struct pollfd * set, nfds_t count, const struct timespec *timeout, const sigset_t *mask, size_t room)) {
  return room / sizeof *set < count ? libc___ppoll_chk(set, count, timeout, mask, room)
                                    : hook_ppoll(set, count, timeout, mask);
}

/* glibc leaves in `timeout` what is left, as the kernel does; musl does not. */
HOOK(int, select, (int count, fd_set *in, fd_set *out, fd_set *others, struct timeval *timeout)) {
  int result;
#ifdef __GLIBC__
  IM_WAIT(false, result = libc_select(count, in, out, others, timeout), result < 0 ? errno : 0, continue);
#else
  struct timeval left, *time = timeout;
  IM_WAIT(timeout, result = libc_select(count, in, out, others, time), result < 0 ? errno : 0,
          time = interrupts_left_us(&wait, timeout, &left));
#endif
  return result;
}

HOOK(int, pselect,
     (int count, fd_set *in, fd_set *out, fd_set *others, const struct timespec *timeout, const sigset_t *mask)) {
  int result;
  struct timespec rest;
  const struct timespec *left = timeout;
  IM_WAIT(timeout, result = libc_pselect(count, in, out, others, left, mask), result < 0 ? errno : 0,
          left = interrupts_left(&wait, timeout, &rest));
  return result;
}

HOOK(int, epoll_wait, (int set, struct epoll_event *events, int room, int timeout)) {
  int result, left = timeout;
  IM_WAIT(timeout > 0, result = libc_epoll_wait(set, events, room, left), result < 0 ? errno : 0,
          left = interrupts_left_ms(&wait, timeout));
  return result;
}

HOOK(int, epoll_pwait, (int set, struct epoll_event *events, int room, int timeout, const sigset_t *mask)) {
  int result, left = timeout;
  IM_WAIT(timeout > 0, result = libc_epoll_pwait(set, events, room, left, mask), result < 0 ? errno : 0,
          left = interrupts_left_ms(&wait, timeout));
  return result;
}

HOOK(int, epoll_pwait2,
     (int set, struct epoll_event *events, int room, const struct timespec *timeout, const sigset_t *mask)) {
  int result;
  struct timespec rest;
  const struct timespec *left = timeout;
  IM_WAIT(timeout, result = libc_epoll_pwait2(set, events, room, left, mask), result < 0 ? errno : 0,
          left = interrupts_left(&wait, timeout, &rest));
  return result;
}

/* ---- time ---- */

HOOK(int, nanosleep, (const struct timespec *time, struct timespec *left)) { return sleeps_nano(time, left); }

HOOK(int, clock_nanosleep, (clockid_t clock, int flags, const struct timespec *time, struct timespec *left)) {
  return sleeps_clock(clock, flags, time, left);
}

HOOK(int, usleep, (useconds_t time)) { return sleeps_micro(time); }

HOOK(unsigned, sleep, (unsigned time)) { return sleeps_seconds(time); }

HOOK(int, thrd_sleep, (const struct timespec *time, struct timespec *left)) { return sleeps_thread(time, left); }

/* ---- signals ---- */

HOOK(int, sigaction, (int number, const struct sigaction *action, struct sigaction *before)) {
  return interrupts_sigaction(number, action, before);
}

HOOK(int, sigtimedwait, (const sigset_t *set, siginfo_t *info, const struct timespec *timeout)) {
  struct im_wait wait = interrupts_begin(timeout);
  struct timespec rest;
  const struct timespec *left = timeout;
  siginfo_t own, *found = info ? info : &own;
  for (;;) {
    int result = libc_sigtimedwait(set, found, left);
    bool over = result < 0 ? errno != EINTR || !interrupts_again(&wait) : !marks_taken(set, result, found);
    if (over) return result;
    left = interrupts_left(&wait, timeout, &rest);
  }
}

HOOK(int, sigwaitinfo, (const sigset_t *set, siginfo_t *info)) { return hook_sigtimedwait(set, info, 0); }

/* As glibc: no EINTR. */
HOOK(int, sigwait, (const sigset_t *set, int *number)) {
  siginfo_t info;
  int result;
  if (!interrupts_expected) return libc_sigwait(set, number);
  while ((result = hook_sigtimedwait(set, &info, 0)) < 0 && errno == EINTR) continue;
  if (result < 0) return errno;
  *number = result;
  return 0;
}

HOOK(int, pause, (void)) {
  int result;
  IM_WAIT(false, result = libc_pause(), errno, continue);
  return result;
}

HOOK(int, sigsuspend, (const sigset_t *mask)) {
  int result;
  IM_WAIT(false, result = libc_sigsuspend(mask), errno, continue);
  return result;
}

/* glibc has it in three forms. */
HOOK(int, sigpause, (int what)) {
  int result;
  IM_WAIT(false, result = libc_sigpause(what), errno, continue);
  return result;
}

HOOK(int, __sigpause, (int what, int is_signal)) {
  int result;
  IM_WAIT(false, result = libc___sigpause(what, is_signal), errno, continue);
  return result;
}

HOOK(int, __xpg_sigpause, (int number)) {
  int result;
  IM_WAIT(false, result = libc___xpg_sigpause(number), errno, continue);
  return result;
}

/* ---- System V, semaphores, asynchronous calls ---- */

HOOK(int, semop, (int id, void *operations, size_t count)) {
  int result;
  IM_WAIT(false, result = libc_semop(id, operations, count), result < 0 ? errno : 0, continue);
  return result;
}

HOOK(int, semtimedop, (int id, void *operations, size_t count, const struct timespec *timeout)) {
  int result;
  struct timespec rest;
  const struct timespec *left = timeout;
  IM_WAIT(timeout, result = libc_semtimedop(id, operations, count, left), result < 0 ? errno : 0,
          left = interrupts_left(&wait, timeout, &rest));
  return result;
}

HOOK(int, msgsnd, (int id, const void *message, size_t size, int flags)) {
  int result;
  IM_WAIT(false, result = libc_msgsnd(id, message, size, flags), result < 0 ? errno : 0, continue);
  return result;
}

HOOK(ssize_t, msgrcv, (int id, void *message, size_t size, long type, int flags)) {
  ssize_t result;
  IM_WAIT(false, result = libc_msgrcv(id, message, size, type, flags), result < 0 ? errno : 0, continue);
  return result;
}

HOOK(int, sem_timedwait, (void *semaphore, const struct timespec *until)) {
  int result;
  IM_WAIT(false, result = libc_sem_timedwait(semaphore, until), result < 0 ? errno : 0, continue);
  return result;
}

HOOK(int, sem_clockwait, (void *semaphore, clockid_t clock, const struct timespec *until)) {
  int result;
  IM_WAIT(false, result = libc_sem_clockwait(semaphore, clock, until), result < 0 ? errno : 0, continue);
  return result;
}

HOOK(int, aio_suspend, (const void *list, int count, const struct timespec *timeout)) {
  int result;
  struct timespec rest;
  const struct timespec *left = timeout;
  IM_WAIT(timeout, result = libc_aio_suspend(list, count, left), result < 0 ? errno : 0,
          left = interrupts_left(&wait, timeout, &rest));
  return result;
}

#ifdef EAI_INTR
HOOK(int, gai_suspend, (const void *list, int count, const struct timespec *timeout)) {
  int result;
  struct timespec rest;
  const struct timespec *left = timeout;
  IM_WAIT(timeout, result = libc_gai_suspend(list, count, left), result == EAI_INTR ? EINTR : 0,
          left = interrupts_left(&wait, timeout, &rest));
  return result;
}
#endif

/* libaio's: they return a negative errno. */
HOOK(int, io_getevents, (void *context, long least, long most, void *events, struct timespec *timeout)) {
  int result;
  struct timespec rest, *left = timeout;
  IM_WAIT(timeout, result = libc_io_getevents(context, least, most, events, left), -result,
          left = interrupts_left(&wait, timeout, &rest) ? &rest : 0);
  return result;
}

HOOK(int, io_pgetevents,
     (void *context, long least, long most, void *events, struct timespec *timeout, sigset_t *mask)) {
  int result;
  struct timespec rest, *left = timeout;
  IM_WAIT(timeout, result = libc_io_pgetevents(context, least, most, events, left, mask), -result,
          left = interrupts_left(&wait, timeout, &rest) ? &rest : 0);
  return result;
}

HOOK_ALIAS(poll, __poll)
HOOK_ALIAS(select, __select)
HOOK_ALIAS(nanosleep, __nanosleep)
HOOK_ALIAS(sigaction, __sigaction)
HOOK_ALIAS(sigtimedwait, __sigtimedwait)
HOOK_ALIAS(sigsuspend, __sigsuspend)
HOOK_ALIAS(msgsnd, __libc_msgsnd)
HOOK_ALIAS(msgrcv, __libc_msgrcv)
HOOK_ALIAS(aio_suspend, aio_suspend64)
