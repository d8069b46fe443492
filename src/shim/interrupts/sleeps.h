/* Calls that sleep: the kernel says what is left, so that no clock is read. */
#ifndef IMAGINARY_SLEEPS_H
#define IMAGINARY_SLEEPS_H

#include <sys/types.h>
#include <time.h>

int sleeps_nano(const struct timespec *time, struct timespec *left);
int sleeps_clock(clockid_t clock, int flags, const struct timespec *time, struct timespec *left);
int sleeps_micro(useconds_t time);
unsigned sleeps_seconds(unsigned time);
int sleeps_thread(const struct timespec *time, struct timespec *left);

#endif
