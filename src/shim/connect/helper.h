/*
 * The thread that waits in the guest's place: one per process, all signals blocked, there only while a connect is
 * pending, unless it could not be started again (pending_stay). All of it but the waiting itself runs under the lock of
 * pending.c, and so does every call here.
 */
#ifndef IMAGINARY_HELPER_H
#define IMAGINARY_HELPER_H

#include "pending.h"

#include <stdbool.h>
#include <stdint.h>

bool helper_start(void);
void helper_wake(void);

/* Whether its descriptors are still its own: a guest may close all that it does not know. */
bool helper_alive(void);

/* Closes them; a thread that still waits ends by itself. */
void helper_forget(void);

/* ---- for progress.c ---- */

/* Which descriptor of a pending connect an event is about. */
enum { IM_ON_REPLY = 1, IM_ON_REAL = 2, IM_ON_WAKER = 3 };

bool helper_watch(const struct im_private_fd *kept, uint32_t events, struct im_pending *pending, unsigned which);
void helper_unwatch(const struct im_private_fd *kept);

/* The socket that questions are sent from; -1: the supervisor was not there when the helper started. */
int helper_line(void);

/* What connects are refused at (see tcp_refuse). */
int helper_closed_port(void);

/* What connects wait at that are given up (see tcp_unanswered). */
int helper_black_hole(void);

#endif
