/* Descriptors beside a message on a Unix socket (SCM_RIGHTS). */
#ifndef IMAGINARY_RIGHTS_H
#define IMAGINARY_RIGHTS_H

#include <stdbool.h>
#include <stddef.h>

#define IM_RIGHTS_MOST 16

/* `flags` as for send(2), where MSG_NOSIGNAL is always set. False with errno: the message was not sent as a whole. */
bool rights_send(int fd, const void *bytes, size_t size, const int *descriptors, size_t count, int flags);

#endif
