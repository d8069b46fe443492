/* The table file, read. Addresses and ports are in host byte order everywhere in the shim. */
#ifndef IMAGINARY_TABLE_H
#define IMAGINARY_TABLE_H

#include "contract/abi/abi.h"

#include <stdbool.h>

/* The table's header; fixed for the life of the process. */
struct im_cluster {
  uint32_t base, mask;
  uint32_t self;
  uint32_t alias_base, alias_loop;
  bool handoff;
  uint32_t started; /* CLOCK_MONOTONIC, in 1/100 s modulo 2^32; 0: not known */
  const char *hostname;
};

/*
 * A host of the cluster. `name` stays valid as long as the process lives, and ends somewhere. Its text may change when
 * the table is written over: a copy takes the length once.
 */
struct im_location {
  uint32_t address;
  uint32_t state;
  uint32_t real;
  uint64_t epoch;
  const char *name;
};

/* Maps and validates DIRECTORY/table. False: missing or not usable. */
bool table_open(const char *directory);

const struct im_cluster *table_cluster(void);

bool table_is_virtual(uint32_t address);
bool table_find_name(const char *name, struct im_location *location);
bool table_find_address(uint32_t address, struct im_location *location);

#define IM_SCOPES_REMOTE (1u << IM_SCOPE_ANY | 1u << IM_SCOPE_HOST)
#define IM_SCOPES_LOCAL (1u << IM_SCOPE_ANY | 1u << IM_SCOPE_LOOPBACK)
#define IM_SCOPES_STREAM 0xfu
#define IM_SCOPES_DATAGRAM (IM_SCOPES_STREAM << IM_SCOPE_DATAGRAM)
/* The UDP ports of the same scopes. */
#define IM_DATAGRAM(scopes) ((scopes) << IM_SCOPE_DATAGRAM)

/* A listening port of a host as its guest knows it, with one of the scopes. */
bool table_find_port(uint32_t address, uint16_t port, unsigned scopes, struct im_port *found);

/* The other way round: the listening port behind a real one, with one of the scopes. */
bool table_find_real_port(uint32_t address, uint32_t real, uint16_t real_port, unsigned scopes, struct im_port *found);

/*
 * A client from outside: by its address and port; and by the UDP port that stands for it here, at `alias_base`. The
 * second looks through all ports.
 */
bool table_find_client(uint32_t address, uint16_t port, struct im_port *found);
bool table_find_real_client(uint16_t real_port, struct im_port *found);

/* The same among what this host's guests have bound at 127.0.0.2 and the like, which `found` has as its address. */
bool table_find_extra(uint32_t real, uint16_t real_port, unsigned scopes, struct im_port *found);

#endif
