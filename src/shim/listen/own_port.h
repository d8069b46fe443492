/* Binds a guest's socket at the real address and port behind one of the host's own addresses. */
#ifndef IMAGINARY_OWN_PORT_H
#define IMAGINARY_OWN_PORT_H

#include "core/addr.h"

#include <stdbool.h>

/*
 * libc's bind, for `to` as the guest gives it: to the port itself where that is allowed and free of our own mappings.
 * `datagrams`: UDP.
 */
int own_port_bind(int fd, const struct im_addr *to, bool datagrams);

/* A listener for IPv6 only: at the real ::1, that all hosts of a machine share, so perhaps at another port. */
int own_port_bind6(int fd, const struct im_addr *to);

#endif
