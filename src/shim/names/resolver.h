/* The way to the host's resolver (abi.h, IM_RESOLVER), for guests that speak DNS by themselves. */
#ifndef IMAGINARY_RESOLVER_H
#define IMAGINARY_RESOLVER_H

#include "core/addr.h"

#include <stdbool.h>

/* Whether a guest that sends there means the resolver. */
bool resolver_is(const struct im_addr *to);

/*
 * Its real port, at the same address; `scopes`: TCP or UDP. The first question of a host's guests waits until the
 * supervisor has opened the resolver: milliseconds, on the same machine.
 */
uint16_t resolver_port(const struct im_addr *to, unsigned scopes);

/* The resolver's address and port as guests know it, for a real address of a datagram; false: it is not from there. */
bool resolver_shown(const struct im_addr *real, struct im_addr *shown);

#endif
