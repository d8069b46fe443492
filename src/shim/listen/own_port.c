#include "own_port.h"

#include "core/alias.h"
#include "core/kernel.h"
#include "core/table.h"
#include "leftover.h"

#include <errno.h>

/*
 * Whether a real port is taken by what need not be there: another port of ours that had to move, a guest's port at
 * 127.0.0.2 or the like, or an earlier epoch of this host.
 */
static bool taken_by_the_way(uint32_t real, uint16_t real_port, uint16_t port, bool datagrams) {
  unsigned scopes = datagrams ? IM_SCOPES_DATAGRAM : IM_SCOPES_STREAM;
  struct im_port listed;
  if (table_find_real_port(table_cluster()->self, real, real_port, scopes, &listed)) return listed.port != port;
  if (!alias_shared()) return false;
  return table_find_extra(real, real_port, scopes, &listed) ||
         (!datagrams && leftover_only(real, real_port, table_cluster()->started));
}

static int bind_at(int fd, const struct im_addr *to, uint32_t real, uint16_t port) {
  struct im_addr at = {real, port, addr_plain(to->form)};
  return kernel_bind(fd, &at);
}

int own_port_bind(int fd, const struct im_addr *to, bool datagrams) {
  bool extra = alias_is_extra(to->ip);
  uint32_t host = extra ? to->ip : table_cluster()->self, real = alias_bound(to->ip);
  unsigned scopes = datagrams ? IM_DATAGRAM(alias_scopes(to->ip)) : alias_scopes(to->ip);
  uint16_t port = extra ? 0 : alias_hidden_port(to->port);
  struct im_port listed;
  if (to->port && table_find_port(host, to->port, scopes, &listed) && listed.real == real) port = listed.real_port;
  int result = bind_at(fd, to, real, port);
  if (result != 0 && errno == EADDRINUSE && port && !extra && taken_by_the_way(real, port, to->port, datagrams))
    result = bind_at(fd, to, real, 0);
  return result;
}

int own_port_bind6(int fd, const struct im_addr *to) {
  struct im_port listed;
  struct im_addr at = {.port = alias_hidden_port(to->port), .form = IM_FORM_V6_LOOP};
  bool ours = to->port && table_find_port(table_cluster()->self, to->port, 1u << IM_SCOPE_LOOPBACK6, &listed);
  if (ours) at.port = listed.real_port;
  int result = kernel_bind(fd, &at);
  if (result == 0 || errno != EADDRINUSE || !at.port || ours) return result;
  at.port = 0;
  return kernel_bind(fd, &at);
}
