#include "route.h"

#include "core/alias.h"
#include "names/resolver.h"
#include "core/table.h"

/* The host itself: never a matter for the supervisor. What is not listed is refused by the kernel. */
static struct im_route own_port(const struct im_addr *to, unsigned scopes, uint32_t alias) {
  struct im_port port;
  struct im_route route = {.kind = IM_ROUTE_LOCAL, .real = alias, .real_port = to->port, .source = alias};
  if (table_find_port(table_cluster()->self, to->port, scopes, &port)) {
    if (port.real) route.real = port.real;
    route.real_port = port.real_port;
  }
  return route;
}

/* A listener for IPv6 only is on the real ::1, which has no loopback alias of its own. */
static bool loopback6(const struct im_addr *to, struct im_route *route) {
  struct im_port port;
  if (to->form != IM_FORM_V6_LOOP && to->form != IM_FORM_V6_ANY) return false;
  if (!table_find_port(table_cluster()->self, to->port, 1u << IM_SCOPE_LOOPBACK6, &port)) return false;
  *route = (struct im_route){.kind = IM_ROUTE_LOCAL, .real = IM_REAL_LOOPBACK6, .real_port = port.real_port};
  return true;
}

/*
 * A listener at the wildcard has all addresses of the loopback network, unless another one is bound at that very
 * address. Where the network is this host's alone, the kernel knows those.
 */
bool route_other_loopback(const struct im_addr *to, unsigned scopes, struct im_route *route) {
  struct im_port port;
  if (!addr_is_other_loopback(to->ip)) return false;
  bool found = alias_is_extra(to->ip) && table_find_port(to->ip, to->port, scopes << IM_SCOPE_LOOPBACK, &port);
  if (!found && !table_find_port(table_cluster()->self, to->port, scopes, &port)) return false;
  *route = (struct im_route){
      .kind = IM_ROUTE_LOCAL, .real = port.real, .real_port = port.real_port, .source = alias_loop()};
  return true;
}

struct im_route route_outside(const struct im_addr *to, unsigned scopes) {
  if (!resolver_is(to)) return (struct im_route){.kind = IM_ROUTE_NATIVE};
  return (struct im_route){.kind = IM_ROUTE_LOCAL, .real = to->ip, .real_port = resolver_port(to, scopes)};
}

struct im_route route_find(const struct im_addr *to) {
  uint32_t self = table_cluster()->self;
  bool wildcard = to->ip == 0;
  struct im_route own;
  if (loopback6(to, &own) || route_other_loopback(to, 1u << IM_SCOPE_ANY, &own)) return own;
  if (to->ip == IM_LOOPBACK || wildcard) return own_port(to, IM_SCOPES_LOCAL, alias_loop());
  if (!table_is_virtual(to->ip)) return route_outside(to, IM_SCOPES_STREAM);
  if (to->ip == self) return own_port(to, IM_SCOPES_REMOTE, alias_host());
  struct im_route route = {.kind = IM_ROUTE_LOCATE, .source = alias_host()};
  struct im_location location;
  struct im_port port;
  if (table_find_address(to->ip, &location) && location.state != IM_LOCATE &&
      table_find_port(to->ip, to->port, IM_SCOPES_REMOTE, &port)) {
    if (location.state == IM_HANDOFF) {
      route.listed = true;
      return route;
    }
    route.kind = IM_ROUTE_DIRECT;
    route.real = port.real ? port.real : location.real;
    route.real_port = port.real_port;
    route.epoch = location.epoch;
  }
  return route;
}

bool route_holds(const struct im_addr *to, const struct im_route *route) {
  struct im_location location;
  return table_find_address(to->ip, &location) && location.state == IM_DIRECT && location.epoch == route->epoch;
}
