/* connect() of stream sockets to addresses of the cluster. */
#ifndef IMAGINARY_CONNECT_H
#define IMAGINARY_CONNECT_H

#include "core/addr.h"

#include <stdbool.h>

int connect_socket(int fd, const struct sockaddr *to, socklen_t size);

/*
 * A message with MSG_FASTOPEN to an address of the cluster: a connect, then a send, as the kernel does without a cookie
 * of the server's. False: fd is no TCP socket, and for any other the flag means nothing.
 */
bool connect_fast_open(int fd, const struct msghdr *message, int flags, ssize_t *sent);

#endif
