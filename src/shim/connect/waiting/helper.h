/*
 * The thread that waits in the guest's place: one per process, all signals blocked, there only while a connect is
 * pending, unless it could not be started again (helper_stay). It does all but the waiting itself with the lock held.
 * Lock held.
 */
#ifndef IMAGINARY_HELPER_H
#define IMAGINARY_HELPER_H

#include <stdbool.h>

/* Starts it where it does not run. False: it cannot be started. */
bool helper_start(void);

/* The same, and it does not end when nothing is pending. */
void helper_stay(void);

/*
 * When the guest has closed all descriptors it does not know, ours among them: what was pending cannot be completed.
 * With its waker closed each placeholder is hung up, which wakes its waiters.
 */
void helper_check(void);

/* In the child of a fork there is none. */
void helper_after_fork(void);

#endif
