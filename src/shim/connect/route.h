/* Where a connect goes. Reads the table only. */
#ifndef IMAGINARY_ROUTE_H
#define IMAGINARY_ROUTE_H

#include "core/addr.h"

#include <stdbool.h>
#include <stdint.h>

struct im_route {
  enum { IM_ROUTE_NATIVE, IM_ROUTE_LOCAL, IM_ROUTE_DIRECT, IM_ROUTE_LOCATE } kind;
  uint32_t real; /* LOCAL, DIRECT: connect there; IM_REAL_LOOPBACK6: to ::1 */
  uint16_t real_port;
  uint32_t source; /* bind to this first, so that the other side knows this host; 0: do not */
  uint64_t epoch;  /* of the location that was used */
  bool listed;     /* LOCATE: the supervisor may have a connection to it ready */
};

/* Whether `to` is 127.0.0.2 or the like and the host has a port at the wildcard there: of one of the scopes. */
bool route_other_loopback(const struct im_addr *to, unsigned scopes, struct im_route *route);

/* Outside of the cluster: the host's resolver, of whose port `scopes` are, or the kernel's own matter. */
struct im_route route_outside(const struct im_addr *to, unsigned scopes);

struct im_route route_find(const struct im_addr *to);

/* Whether the location that a DIRECT route was made from still holds. */
bool route_holds(const struct im_addr *to, const struct im_route *route);

#endif
