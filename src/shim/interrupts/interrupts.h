/*
 * Calls that the kernel does not restart after a signal's handler end with EINTR, though the handler is ours: the guest
 * has not asked for the signal. The hook of such a call makes it again, for the time that is left. README.md says which
 * calls these are, and what is known when another handler ran too.
 */
#ifndef IMAGINARY_INTERRUPTS_H
#define IMAGINARY_INTERRUPTS_H

#include "core/libc.h"

#include <stdbool.h>

/* Our handler is installed: on network `nat`, unless the guest installs its own. */
extern bool interrupts_expected;
void interrupts_start(void (*handler)(int, siginfo_t *, void *));

/* A socket of this process may have SO_RCVTIMEO or SO_SNDTIMEO. */
extern bool interrupts_limits;

/* Calls of this thread that our handler alone has ended with EINTR, without those that were made again. */
extern _Thread_local unsigned long interrupts_count __attribute__((tls_model("initial-exec")));

/* One call of the guest's. */
struct im_wait {
  unsigned long seen;
  struct timespec start; /* 0: the time does not matter, or is not known */
};

/*
 * Before the call. `timed`: it ends by itself, and its start is to be known. CLOCK_MONOTONIC_COARSE would be cheaper,
 * and is late by more than its tick where a machine's processors do not run at the same time.
 */
static inline struct im_wait interrupts_begin(bool timed) {
  struct im_wait wait = {.seen = interrupts_count};
  if (timed && __builtin_expect(interrupts_expected, 0)) clock_gettime(CLOCK_MONOTONIC, &wait.start);
  return wait;
}

/* After EINTR. True: the call is to be made again, and errno is what it was before it. */
bool interrupts_again(struct im_wait *wait);

/*
 * Makes `call` until it ends otherwise; `error` is its errno, 0 when it did not fail. `shorten` computes the time that
 * is left.
 */
#define IM_WAIT(timed, call, error, shorten) \
  do { \
    struct im_wait wait = interrupts_begin(timed); \
    while ((call), __builtin_expect((error) == EINTR, 0) && interrupts_again(&wait)) { \
      shorten; \
    } \
  } while (0)

/* Of a timeout, what is left of it now. Less than 1 ms and negative timeouts are passed on. */
int interrupts_left_ms(const struct im_wait *wait, int timeout);

/* The kernel has read `timeout` before. NULL: for ever. */
const struct timespec *interrupts_left(const struct im_wait *wait, const struct timespec *timeout,
                                       struct timespec *left);

/* As select takes it. */
struct timeval *interrupts_left_us(const struct im_wait *wait, const struct timeval *timeout, struct timeval *left);

/*
 * After a call on a socket that ended with EINTR, which it does where the socket has the time limit `option`. False:
 * errno is what the guest sees, `late` when the time is over.
 */
bool interrupts_socket_again(struct im_wait *wait, int fd, int option, int late);

#define IM_WAIT_SOCKET(fd, option, late, call, failed) \
  do { \
    struct im_wait wait = interrupts_begin(interrupts_limits); \
    while ((call), \
           __builtin_expect((failed) && errno == EINTR, 0) && interrupts_socket_again(&wait, fd, option, late)) \
      continue; \
  } while (0)

/* setsockopt was called. */
void interrupts_note_option(int level, int option);

/* In our handler: whether it was called where a call ended with EINTR. */
bool interrupts_hit(const void *context);

/* At the end of our handler, which blocks all signals: unless another one's handler is next, the call is made again. */
void interrupts_hide(const void *context, int error);

/* sigaction, so that our handler comes before the end of any other one's. */
int interrupts_sigaction(int number, const struct sigaction *action, struct sigaction *before);

#endif
