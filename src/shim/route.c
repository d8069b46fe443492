#include "route.h"

#include "faces.h"
#include "table.h"

/* The host itself: never a matter for the supervisor. What is not listed is refused by the kernel. */
static struct im_route own_port(const struct im_addr *to, unsigned scopes, uint32_t real, uint32_t source) {
  struct im_port port;
  struct im_route route = {.kind = IM_ROUTE_LOCAL, .real = real, .real_port = to->port, .source = source};
  if (table_find_port(table_cluster()->self, to->port, scopes, &port)) {
    if (port.real) route.real = port.real;
    route.real_port = port.real_port;
  }
  return route;
}

struct im_route route_find(const struct im_addr *to) {
  uint32_t self = table_cluster()->self;
  bool wildcard = to->ip == 0;
  if (to->ip == IM_LOOPBACK || wildcard)
    return own_port(to, IM_SCOPES_LOCAL, faces_loop(), faces_flat() ? faces_loop() : 0);
  if (!table_is_virtual(to->ip)) return (struct im_route){.kind = IM_ROUTE_NATIVE};
  if (to->ip == self)
    return own_port(to, IM_SCOPES_REMOTE, faces_flat() ? faces_host() : IM_LOOPBACK, faces_flat() ? faces_host() : 0);
  struct im_route route = {.kind = IM_ROUTE_ASK, .source = faces_host()};
  struct im_place place;
  struct im_port port;
  if (table_find_address(to->ip, &place) && place.state == IM_DIRECT &&
      table_find_port(to->ip, to->port, IM_SCOPES_REMOTE, &port)) {
    route.kind = IM_ROUTE_DIRECT;
    route.real = port.real ? port.real : place.real;
    route.real_port = port.real_port;
    route.epoch = place.epoch;
  }
  return route;
}

bool route_holds(const struct im_addr *to, const struct im_route *route) {
  struct im_place place;
  return table_find_address(to->ip, &place) && place.state == IM_DIRECT && place.epoch == route->epoch;
}
