/* Datagrams to the supervisor. Each carries its own reply socket, so nothing stays open in the guest. */
#ifndef IMAGINARY_REQUEST_H
#define IMAGINARY_REQUEST_H

#include "abi.h"
#include "addr.h"

#include <stdbool.h>

struct im_request request_connect(uint64_t cookie, const struct im_addr *to, uint64_t epoch, bool nonblocking);

/* Sends without expecting a reply; a supervisor that is gone is no error. */
void request_tell(const struct im_request *request);

/*
 * Sends and returns the descriptor on which the reply will come, or a negative errno: -EAGAIN when `wait` is false and
 * the supervisor's queue is full, anything else: there is nobody to ask.
 */
int request_ask(const struct im_request *request, bool wait);

#define IM_FOREVER (-1L)

/*
 * Waits for the reply: 0, -EINTR, -ETIMEDOUT after `milliseconds`, or -EPIPE when the supervisor went away or answered
 * something else. Does not close `fd`. A wait without limit is restarted after a signal as SA_RESTART says.
 */
int request_wait(int fd, struct im_reply *reply, long milliseconds);

/* Takes a reply that is there: as request_wait, and -EAGAIN when there is none yet. */
int request_take(int fd, struct im_reply *reply);

/* Says once per process that the supervisor does not answer. */
void request_lost(void);

#endif
