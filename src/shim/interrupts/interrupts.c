#include "interrupts.h"

#include "contract/abi/abi.h"
#include "core/libc_waits.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/time.h>
#include <ucontext.h>

#define MOST_SIGNAL 64
#define NS_PER_S 1000000000LL
#define NS_PER_MS 1000000LL

/* As the kernel numbers them where its time is of 64 bits in any case; not in every header. */
#define RCVTIMEO_NEW 66
#define SNDTIMEO_NEW 67

bool interrupts_expected, interrupts_limits;
_Thread_local unsigned long interrupts_count;

/* errno before the call that was ended: libc has not touched it when the handler runs. */
static _Thread_local int error_before __attribute__((tls_model("initial-exec")));

/* Signals whose handlers are to have ours blocked, as far as the guest knows. */
static _Atomic uint64_t blocking;

static void (*our_handler)(int, siginfo_t *, void *);

void interrupts_start(void (*handler)(int, siginfo_t *, void *)) {
  our_handler = handler;
  interrupts_expected = true;
}

bool interrupts_again(struct im_wait *wait) {
  if (interrupts_count == wait->seen) return false;
  /* Used up: a call further out, which a handler of the guest's has interrupted, has its EINTR. */
  interrupts_count = wait->seen;
  errno = error_before;
  return true;
}

static int64_t nanoseconds(const struct timespec *time) { return time->tv_sec * NS_PER_S + time->tv_nsec; }

static int64_t elapsed(const struct im_wait *wait) {
  struct timespec now;
  if (!wait->start.tv_sec && !wait->start.tv_nsec) return 0;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return nanoseconds(&now) - nanoseconds(&wait->start);
}

int interrupts_left_ms(const struct im_wait *wait, int timeout) {
  if (timeout <= 0) return timeout;
  int64_t left = timeout * NS_PER_MS - elapsed(wait);
  return left > 0 ? (int)((left + NS_PER_MS - 1) / NS_PER_MS) : 0;
}

const struct timespec *interrupts_left(const struct im_wait *wait, const struct timespec *timeout,
                                       struct timespec *left) {
  if (!timeout) return 0;
  int64_t time = elapsed(wait);
  *left = *timeout;
  left->tv_sec -= time / NS_PER_S;
  left->tv_nsec -= time % NS_PER_S;
  if (left->tv_nsec < 0) {
    left->tv_nsec += NS_PER_S;
    left->tv_sec--;
  }
  if (left->tv_sec < 0) *left = (struct timespec){0};
  return left;
}

struct timeval *interrupts_left_us(const struct im_wait *wait, const struct timeval *timeout, struct timeval *left) {
  if (!timeout) return 0;
  struct timespec time = {timeout->tv_sec, timeout->tv_usec * 1000}, rest;
  interrupts_left(wait, &time, &rest);
  *left = (struct timeval){rest.tv_sec, (rest.tv_nsec + 999) / 1000};
  return left;
}

void interrupts_note_option(int level, int option) {
  if (level == SOL_SOCKET &&
      (option == SO_RCVTIMEO || option == SO_SNDTIMEO || option == RCVTIMEO_NEW || option == SNDTIMEO_NEW))
    interrupts_limits = true;
}

/* The next call would have the whole time again, so that it is waited for here first. */
bool interrupts_socket_again(struct im_wait *wait, int fd, int option, int late) {
  struct timeval limit = {0};
  struct pollfd wanted = {.fd = fd, .events = option == SO_RCVTIMEO ? POLLIN : POLLOUT};
  socklen_t size = sizeof limit;
  if (!interrupts_again(wait)) return false;
  int before = errno;
  if (libc_getsockopt(fd, SOL_SOCKET, option, &limit, &size) != 0 || (!limit.tv_sec && !limit.tv_usec)) {
    errno = before;
    return true;
  }
  for (;;) {
    int64_t left = limit.tv_sec * NS_PER_S + limit.tv_usec * 1000LL - elapsed(wait);
    int64_t milliseconds = left > 0 ? (left + NS_PER_MS - 1) / NS_PER_MS : 0;
    int ready = libc_poll(&wanted, 1, milliseconds > INT_MAX ? INT_MAX : (int)milliseconds);
    if (ready < 0 && errno == EINTR && interrupts_again(wait)) continue;
    if (ready == 0) errno = late;
    if (ready > 0) errno = before;
    return ready > 0;
  }
}

static long result_in(const void *context) {
  const ucontext_t *interrupted = context;
#if defined(__x86_64__)
  return interrupted->uc_mcontext.gregs[REG_RAX];
#elif defined(__aarch64__)
  return (long)interrupted->uc_mcontext.regs[0];
#else
#error unknown machine
#endif
}

bool interrupts_hit(const void *context) { return result_in(context) == -EINTR; }

static bool has_handler(int number) {
  struct sigaction action;
  return libc_sigaction(number, 0, &action) == 0 && action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN;
}

/* Whether a handler of the guest's runs before the interrupted call's caller does. */
static bool another_follows(const void *context) {
  const sigset_t *blocked = &((const ucontext_t *)context)->uc_sigmask;
  sigset_t pending;
  sigemptyset(&pending);
  if (sigpending(&pending) != 0) return true;
  for (int number = 1; number <= MOST_SIGNAL; number++)
    if (number != IM_SIGNAL && sigismember(&pending, number) == 1 && sigismember(blocked, number) != 1 &&
        has_handler(number))
      return true;
  return false;
}

void interrupts_hide(const void *context, int error) {
  if (another_follows(context)) return;
  error_before = error;
  interrupts_count++;
}

int interrupts_sigaction(int number, const struct sigaction *action, struct sigaction *before) {
  struct sigaction ours;
  if (!our_handler || number < 1 || number > MOST_SIGNAL) return libc_sigaction(number, action, before);
  uint64_t bit = UINT64_C(1) << (number - 1);
  bool was_blocking = atomic_load(&blocking) & bit, is_blocking = false;
  bool handles = action && action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN;
  if (handles && number == IM_SIGNAL) interrupts_expected = action->sa_sigaction == our_handler;
  if (handles && number != IM_SIGNAL && interrupts_expected) {
    ours = *action;
    is_blocking = sigismember(&ours.sa_mask, IM_SIGNAL) == 1;
    sigdelset(&ours.sa_mask, IM_SIGNAL);
    action = &ours;
  }
  int result = libc_sigaction(number, action, before);
  if (result != 0) return result;
  if (before && was_blocking) sigaddset(&before->sa_mask, IM_SIGNAL);
  if (action && is_blocking) atomic_fetch_or(&blocking, bit);
  if (action && !is_blocking) atomic_fetch_and(&blocking, ~bit);
  return 0;
}
