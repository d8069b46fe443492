#include "resolver.h"

#include "core/request.h"
#include "core/table.h"

bool resolver_is(const struct im_addr *to) { return to->ip == IM_RESOLVER && to->port == IM_RESOLVER_PORT; }

/* Returns when the table lists the ports. Without a supervisor the port is as natively a port without a listener. */
static void open_it(const struct im_addr *to) {
  struct im_request request = request_connect(-1, to, 0, 0);
  request_confirm(&request);
}

uint16_t resolver_port(const struct im_addr *to, unsigned scopes) {
  IM_KEEP_ERRNO;
  struct im_port listed;
  bool found = table_find_port(IM_RESOLVER, to->port, scopes, &listed);
  if (!found) {
    open_it(to);
    found = table_find_port(IM_RESOLVER, to->port, scopes, &listed);
  }
  return found ? listed.real_port : to->port;
}

bool resolver_shown(const struct im_addr *real, struct im_addr *shown) {
  struct im_port listed;
  if (real->ip != IM_RESOLVER || !table_find_real_port(IM_RESOLVER, real->ip, real->port, IM_SCOPES_DATAGRAM, &listed))
    return false;
  *shown = (struct im_addr){real->ip, listed.port, real->form};
  return true;
}
