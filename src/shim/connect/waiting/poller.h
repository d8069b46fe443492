/*
 * The descriptors of the helper: its epoll set, the pair that wakes it, the socket that requests are sent from, the
 * ports that connects are refused and given up at. All are opened in the guest's call that starts the helper. Lock
 * held.
 */
#ifndef IMAGINARY_POLLER_H
#define IMAGINARY_POLLER_H

#include "pending.h"

#include <stdint.h>

bool poller_open(void);
void poller_close(void);

/* Whether the descriptors are still the shim's own: a guest may close all that it does not know. */
bool poller_alive(void);

/* Wakes the helper; and takes all that woke it. */
void poller_wake(void);
void poller_woken(void);

/* What epoll_wait is called on. */
int poller_set(void);

/* Which descriptor of a pending connect an event is about. */
enum { IM_ON_REPLY = 1, IM_ON_REAL = 2, IM_ON_WAKER = 3 };

bool poller_watch(const struct im_private_fd *kept, uint32_t events, struct im_pending *pending, unsigned which);
void poller_unwatch(const struct im_private_fd *kept);

/* The pending connect that an event is about; NULL: none, or one that has ended. */
struct im_pending *poller_pending(uint64_t event, unsigned *which);

/* The socket that questions are sent from; -1: the supervisor was not there when the helper started. */
int poller_line(void);

/* `full`: the supervisor's queue is, and its next reading of it is to be an event. */
void poller_watch_line(bool full);

/* What connects are refused at (see tcp_refuse), and what they wait at that are given up (see tcp_unanswered). */
int poller_closed_port(void);
int poller_black_hole(void);

#endif
