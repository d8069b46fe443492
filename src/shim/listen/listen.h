/* bind() and listen(): where a guest's listener really is, and the report of it to the supervisor. */
#ifndef IMAGINARY_LISTEN_H
#define IMAGINARY_LISTEN_H

#include "core/libc.h"

int listen_bind(int fd, const struct sockaddr *to, socklen_t size);
int listen_start(int fd, int backlog);

#endif
