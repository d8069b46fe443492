/* The kernel's calls on a socket, with addresses in the shim's shape. Reads keep errno; of the rest it is the kernel's.
 */
#ifndef IMAGINARY_KERNEL_H
#define IMAGINARY_KERNEL_H

#include "addr.h"

#include <stdbool.h>

/* An option that is a number; `otherwise` when the socket has none of that name. */
int kernel_int(int fd, int level, int name, int otherwise);

/* AF_INET when fd is no socket. */
int kernel_family(int fd);
bool kernel_is_v6_only(int fd);

/* By protocol, not by family or type: TCP and what falls back to it. */
bool kernel_is_tcp(int fd);

/* getsockname and getpeername. False: no name, or one that stands for no IPv4 address. */
bool kernel_local(int fd, struct im_addr *at);
bool kernel_peer(int fd, struct im_addr *at);

int kernel_bind(int fd, const struct im_addr *at);
int kernel_connect(int fd, const struct im_addr *to);

/* Takes a connect back (AF_UNSPEC). */
void kernel_disconnect(int fd);

/*
 * Binds the real address `source`, as a connect to `to` needs it, and leaves the port to that connect. Fails where the
 * guest has bound the socket itself, and that is right.
 */
void kernel_bind_source(int fd, const struct im_addr *to, uint32_t source);

#endif
