/* What getsockname, getpeername and accept show: the addresses that the guest knows. */
#ifndef IMAGINARY_VIEW_H
#define IMAGINARY_VIEW_H

#include "core/libc.h"

int sockname_local(int fd, struct sockaddr *name, socklen_t *size);
int sockname_peer(int fd, struct sockaddr *name, socklen_t *size);

/* accept and accept4; `call` is the libc call with its flags bound. */
int sockname_accept(int fd, struct sockaddr *from, socklen_t *size, int flags,
                    int (*call)(int, struct sockaddr *, socklen_t *, int));

/* SO_ERROR as the guest is to read it, in place of the kernel's value. */
void sockname_error(int fd, int level, int option, void *value, const socklen_t *size);

/* SO_DOMAIN too: a handed-off connection whose other side had ended it already keeps the family that it came with. */
void sockname_domain(int fd, int level, int option, void *value, const socklen_t *size);

#endif
