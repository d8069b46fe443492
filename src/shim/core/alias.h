/*
 * Loopback aliases: the real address of every host, the second one of this host, and real ↔ virtual by arithmetic. On
 * network `flat` all hosts share one loopback interface; elsewhere a host has its own, and its aliases for itself.
 */
#ifndef IMAGINARY_ALIAS_H
#define IMAGINARY_ALIAS_H

#include "addr.h"

#include <stdbool.h>
#include <stdint.h>

/* The loopback alias of the host with this virtual address. */
uint32_t alias_of(uint32_t address);

/* The alias of this host: a guest's wildcard or virtual address is bound to it. */
uint32_t alias_host(void);

/* The alias that stands for the guest's 127.0.0.1. */
uint32_t alias_loop(void);

/* Network `flat`: other hosts and the machine itself are on the same loopback interface. */
bool alias_shared(void);

/*
 * Whether that is 127.0.0.2 or the like on a loopback interface that is shared: a host has its own, so that what its
 * guests bind there stands at `alias_loop`, at another port, and the table lists it with the address that they know.
 */
bool alias_is_extra(uint32_t ip);

/*
 * Of an address that a guest binds, one of the host's own (0, the virtual one, loopback): whether it is loopback, where
 * it really is, and with which scopes a port there would be taken.
 */
bool alias_is_loop(uint32_t ip);
uint32_t alias_bound(uint32_t ip);
unsigned alias_scopes(uint32_t ip);

/* The real port of one that is not listed, and back: guests' ports below 1024 are moved up. */
uint16_t alias_hidden_port(uint16_t port);
uint16_t alias_plain_port(uint16_t real_port);

/* The port that a guest has bound at such an address with one of the scopes, by its real address. False: none. */
bool alias_extra_of(const struct im_addr *real, unsigned scopes, struct im_addr *shown);

/*
 * The virtual address (or 127.0.0.1) behind a real one; false: no loopback alias of this cluster, or not our own
 * loopback.
 */
bool alias_virtual(uint32_t real, uint32_t *address);

#endif
