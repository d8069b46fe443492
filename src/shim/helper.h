/*
 * The thread that waits in the guest's place: one per process, all signals blocked, there only while a connect is
 * pending. Started and ended under the lock of pending.c.
 */
#ifndef IMAGINARY_HELPER_H
#define IMAGINARY_HELPER_H

#include <stdbool.h>

bool helper_start(void);
void helper_wake(void);

/* Whether its descriptors are still its own. */
bool helper_alive(void);

/* Closes them; a helper that still runs ends by itself. */
void helper_forget(void);

#endif
