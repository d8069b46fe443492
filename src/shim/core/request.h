/* Datagrams to the supervisor. Each carries its own reply socket, so nothing stays open in the guest. */
#ifndef IMAGINARY_REQUEST_H
#define IMAGINARY_REQUEST_H

#include "contract/abi/abi.h"
#include "addr.h"

#include <stdbool.h>

/* Of a socket of the guest's; fd -1: of none. */
struct im_request request_connect(int fd, const struct im_addr *to, uint64_t epoch, uint32_t flags);

/* Sends without expecting a reply; a supervisor that is gone is no error. */
void request_tell(const struct im_request *request);

/* Sends, and returns when the supervisor has done it: in 5 s, or never where it is gone. */
void request_confirm(const struct im_request *request);

/* As request_confirm: `guest` is bound, and really at `real`. Then the table lists it with that scope. */
void request_listen(uint64_t cookie, const struct im_addr *guest, const struct im_addr *real, uint32_t scope);

/* A socket pair: ends[0] is for the reply, ends[1] is passed along. 0 or a negative errno. */
int request_pair(int ends[2]);

/*
 * 0 or a negative errno; -EAGAIN when `wait` is false and the supervisor's queue is full. `line`: a socket of
 * request_line to send from, which becomes writable when there is room; -1: one of the moment.
 */
int request_send(int line, const struct im_request *request, int pass, bool wait);

/* The same with something behind the request. */
#define IM_REQUEST_PARTS 64u
int request_send_with(int line, const struct im_request *request, const struct iovec *parts, size_t count, int pass,
                      bool wait);

/* -1 with errno when there is no supervisor. */
int request_line(void);

#define IM_FOREVER (-1L)

/*
 * Waits for the reply: 0, -EINTR, -ETIMEDOUT after `milliseconds`, or -EPIPE when the supervisor is gone or the answer
 * is none. Caller owns `fd`, and `passed`: the descriptor that came along (IM_TRANSPORT_HANDOFF), or -1. NULL: a
 * descriptor that comes is closed. A signal with SA_RESTART restarts a wait without limit.
 */
int request_wait(int fd, struct im_reply *reply, int *passed, long milliseconds);

/*
 * Sends the request, then waits as `request_wait` does. `reply`: the end on which more may come, or -1; Caller owns.
 * The socket that sends is closed last: while a descriptor is on its way in a Unix socket, the kernel takes the end of
 * any other one for an occasion to look for garbage.
 */
int request_call(const struct im_request *request, bool wait, long milliseconds, struct im_reply *answer, int *passed,
                 int *reply);

/* Takes a reply that is there: as request_wait, and -EAGAIN when there is none yet. */
int request_take(int fd, struct im_reply *reply, int *passed);

/* Complains once per process that the supervisor does not answer. */
void request_lost(void);

#endif
