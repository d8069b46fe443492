/* The steps of a connect on a TCP socket: what the kernel is made to do with it, and how far it is. */
#ifndef IMAGINARY_TCP_H
#define IMAGINARY_TCP_H

#include "core/addr.h"

#include <stdbool.h>

/* How far a connecting socket is, without taking its pending error. */
enum im_connection { IM_CONNECTING, IM_CONNECTED, IM_FAILED };
enum im_connection tcp_state(int fd);

/* Whether fd has no connection, and none on its way. */
bool tcp_is_closed(int fd);

/* Takes the pending error; 0: none. */
int tcp_take_error(int fd);

/* Makes a socket whose connect failed fit for another one. */
void tcp_reset(int fd);

/* libc's connect to where `to` really is, and remembers `to` where arithmetic cannot tell it. `source`: 0, or to bind.
 */
int tcp_connect(int fd, const struct im_addr *to, uint32_t real, uint16_t real_port, uint32_t source);

/* Whether an errno may only mean that the location was old. */
bool tcp_worth_locating(int error);

/*
 * Gives fd a pending error, by a connect to a `closed port`: a port that is bound and does not listen, so that no other
 * socket has it and the kernel resets what connects. The kernel knows the error as ECONNREFUSED, the guest reads
 * `error`.
 */
void tcp_refuse(int fd, int error, int closed_port);
int tcp_closed_port(void);

/*
 * Makes fd, when it is not connected, a pending connect of the kernel's own, to a `black hole`: a port that never
 * answers. The connect then ends as the kernel's do.
 */
void tcp_unanswered(int fd, int black_hole);
int tcp_black_hole(void);

#endif
