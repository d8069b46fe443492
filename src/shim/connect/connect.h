/* connect() of stream sockets to addresses that are ours; and its steps, for helper.c. */
#ifndef IMAGINARY_CONNECT_H
#define IMAGINARY_CONNECT_H

#include "core/addr.h"

#include <stdbool.h>

int connect_socket(int fd, const struct sockaddr *to, socklen_t size);

/* Binds an address of ours, the port being chosen by connect. Fails where the guest has bound the socket itself. */
void connect_bind_source(int fd, const struct im_addr *to, uint32_t source);

/*
 * A message with MSG_FASTOPEN to an address of the cluster: a connect, then a send, as the kernel does without a cookie
 * of the server's. False: fd is no TCP socket, and for any other the flag means nothing.
 */
bool connect_fast_open(int fd, const struct msghdr *message, int flags, ssize_t *sent);

/* What getpeername is to show. */
void connect_remember_peer(int fd, const struct im_addr *to);

/* libc's connect to where `to` really is, and remembers `to` where arithmetic could not tell it. */
int connect_real(int fd, const struct im_addr *to, uint32_t real, uint16_t real_port, uint32_t source);

/* How far a connecting socket is, without taking its pending error. */
enum im_connection { IM_CONNECTING, IM_CONNECTED, IM_FAILED };
enum im_connection connect_state(int fd);

/* Makes a socket whose connect failed fit for another one. */
void connect_reset(int fd);

/*
 * Gives fd a pending error, by a connect to a `closed port`: a port that is bound and does not listen, so that nobody
 * else has it and the kernel resets who knocks. The kernel knows the error as ECONNREFUSED, the guest reads `error`.
 */
void connect_refuse(int fd, int error, int closed_port);
int connect_closed_port(void);

/*
 * Makes fd, when it is not connected, a pending connect of the kernel's own, to a `silence`: a port that answers
 * nobody. What ends it then ends it as the kernel does.
 */
void connect_unanswered(int fd, int black_hole);
int connect_black_hole(void);

/* Whether an errno may only mean that the location was old. */
bool connect_worth_locating(int error);

#endif
