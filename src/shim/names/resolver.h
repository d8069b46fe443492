/* The way to the host's resolver (abi.h, IM_RESOLVER): for guests that ask DNS by themselves. */
#ifndef IMAGINARY_RESOLVER_H
#define IMAGINARY_RESOLVER_H

#include "core/addr.h"
#include "connect/route.h"

#include <stdbool.h>

/* Whether a guest that sends there means the resolver. */
bool resolver_is(const struct im_addr *to);

/*
 * Where it is; `scopes`: of its port, TCP or UDP. The first question of a host's guests waits until the supervisor has
 * opened it: milliseconds, on the same machine.
 */
struct im_route resolver_route(const struct im_addr *to, unsigned scopes);

/* The resolver's address and port as guests know it, for a real address of a datagram; false: it is not from there. */
bool resolver_shown(const struct im_addr *real, struct im_addr *shown);

#endif
