#include "sleeps.h"

#include "core/libc_waits.h"
#include "core/pointer.h"
#include "interrupts.h"

#define INTERRUPTED (-1) /* thrd_sleep */

/* What is left goes to the guest where it asked for it and has its EINTR: 0, or the kernel's objection to `left`. */
static int give(struct timespec *left, const struct timespec *rest) {
  if (!left) return 0;
  if (!pointer_writable(left, sizeof *left)) return EFAULT;
  *left = *rest;
  return 0;
}

int sleeps_nano(const struct timespec *time, struct timespec *left) {
  struct timespec rest;
  int result;
  IM_WAIT(false, result = libc_nanosleep(time, &rest), result < 0 ? errno : 0, time = &rest);
  if (result == 0 || errno != EINTR) return result;
  int error = give(left, &rest);
  return error ? libc_fail(error) : result;
}

int sleeps_clock(clockid_t clock, int flags, const struct timespec *time, struct timespec *left) {
  struct timespec rest;
  int result;
  if (flags & TIMER_ABSTIME) {
    IM_WAIT(false, result = libc_clock_nanosleep(clock, flags, time, left), result, continue);
    return result;
  }
  IM_WAIT(false, result = libc_clock_nanosleep(clock, flags, time, &rest), result, time = &rest);
  int error = result == EINTR ? give(left, &rest) : 0;
  return error ? error : result;
}

/* libc does no more, and does not tell what is left. */
int sleeps_micro(useconds_t time) {
  struct timespec rest = {time / 1000000, time % 1000000 * 1000L};
  return interrupts_expected ? sleeps_nano(&rest, 0) : libc_usleep(time);
}

/* As libc: whole seconds. */
unsigned sleeps_seconds(unsigned time) {
  struct timespec rest = {time, 0};
  if (!interrupts_expected) return libc_sleep(time);
  int saved = errno;
  if (sleeps_nano(&rest, &rest) != 0) return (unsigned)rest.tv_sec;
  errno = saved;
  return 0;
}

int sleeps_thread(const struct timespec *time, struct timespec *left) {
  struct timespec rest;
  int result;
  IM_WAIT(false, result = libc_thrd_sleep(time, &rest), result == INTERRUPTED ? EINTR : 0, time = &rest);
  if (result == INTERRUPTED) (void)give(left, &rest);
  return result;
}
