/*
 * Connections that the supervisor has made, where hosts do not reach each other: the guest's socket is replaced by one
 * of them, and what its accept takes from the kernel is exchanged for one.
 */
#ifndef IMAGINARY_HANDOFF_H
#define IMAGINARY_HANDOFF_H

#include "core/addr.h"

#include <stdbool.h>

struct im_reply;

/*
 * `fresh` is to stand for the guest's socket `like`, connected to `to` as `reply` says: options, and what is shown of
 * it.
 */
void handoff_prepare(int like, int fresh, const struct im_addr *to, const struct im_reply *reply);

/* Whether the connection of the reply goes to a host that was chosen: `to` is a service. */
bool handoff_is_chosen(const struct im_addr *to, const struct im_reply *reply);

/*
 * Whether the connection stands. A pooled one may have ended since it was made: that is no result of a connect, and
 * another one is to be requested.
 */
bool handoff_stands(int fresh);

/*
 * Replaces a guest's socket whose connect has waited, by a socket as connected: another connect fails with EISCONN.
 * Closes `fresh`. 0, or -1 with errno; ECONNRESET: `fresh` does not stand, and nothing has changed.
 */
int handoff_adopt(int fd, int fresh, const struct im_addr *to, const struct im_reply *reply);

/*
 * A connect without blocking, to a port that the table lists as IM_HANDOFF, by a connection that stands already;
 * another connect reports it. False: none stands, and nothing has changed; the answer comes at `reply`, unless that is
 * negative.
 */
bool handoff_connect(int fd, const struct im_addr *to, int *reply);

/* Whether it was made for a guest's IPv4 socket, whatever its own family. */
bool handoff_is_four(int fd);

/* Whether a connection from this real address is a signal connection; `from` becomes the virtual address. */
bool handoff_is_signal(const struct im_addr *real, struct im_addr *from);

/*
 * A listener's accept has returned the signal connection `accepted`, to its real port: the connection that is signalled
 * takes its number. `flags`: of accept4. `from` gets the other side's port. When that connection is gone, `accepted`
 * stays, as a connection that ended before the accept. False with errno: there are not enough descriptors; `accepted`
 * is closed, and signalled again.
 */
bool handoff_accept(int listener, int accepted, uint16_t real_port, const struct im_addr *local, struct im_addr *from,
                    int flags);

#endif
