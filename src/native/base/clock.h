/* The monotonic clock. */
#ifndef IMAGINARY_CLOCK_H
#define IMAGINARY_CLOCK_H

#include <stdint.h>
#include <time.h>

#define IM_MS INT64_C(1000000) /* of its nanoseconds */
#define IM_NEVER INT64_MAX

static inline int64_t clock_now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000 * IM_MS + time.tv_nsec;
}

#endif
