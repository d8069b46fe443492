/*
 * Network `flat`: the two real addresses of this host, and real ↔ virtual by arithmetic. In other networks the host
 * has no loopback alias: the wildcard stands for it, and loopback is loopback.
 */
#ifndef IMAGINARY_ALIAS_H
#define IMAGINARY_ALIAS_H

#include "addr.h"

#include <stdbool.h>
#include <stdint.h>

bool alias_flat(void);

/* What a guest's wildcard or virtual address is bound to. */
uint32_t alias_host(void);

/* What stands for the guest's 127.0.0.1. */
uint32_t alias_loop(void);

/* Other hosts and the machine itself are on the same loopback interface (network `flat`). */
bool alias_shared(void);

/*
 * Whether that is 127.0.0.2 or the like on a loopback interface that is shared: a host has its own, so that what its
 * guests bind there stands at `alias_loop`, at another port, and the table lists it with the address that they know.
 */
bool alias_is_extra(uint32_t ip);

/* What a guest has bound at such an address with one of the scopes, by where it really is. False: nothing. */
bool alias_extra_of(const struct im_addr *real, unsigned scopes, struct im_addr *shown);

/*
 * The virtual address (or 127.0.0.1) behind a real one; false: no loopback alias of this cluster, or not our own
 * loopback.
 */
bool alias_virtual(uint32_t real, uint32_t *address);

#endif
