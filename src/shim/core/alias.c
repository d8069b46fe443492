#include "alias.h"

#include "table.h"

uint32_t alias_of(uint32_t address) { return table_cluster()->alias_base | (address & 0xffff); }

uint32_t alias_host(void) { return alias_of(table_cluster()->self); }

uint32_t alias_loop(void) {
  const struct im_cluster *cluster = table_cluster();
  return cluster->alias_loop | (cluster->self & 0xffff);
}

bool alias_shared(void) { return !table_cluster()->handoff; }

bool alias_is_extra(uint32_t ip) {
  const struct im_cluster *cluster = table_cluster();
  uint32_t network = ip & 0xffff0000u, host = ip & 0xffffffu;
  if (!host || host == 0xffffffu) return false; /* the network's own address, and its broadcast address */
  return alias_shared() && addr_is_other_loopback(ip) && network != cluster->alias_base &&
         network != cluster->alias_loop;
}

bool alias_is_loop(uint32_t ip) { return ip == IM_LOOPBACK || alias_is_extra(ip); }

uint32_t alias_bound(uint32_t ip) { return alias_is_loop(ip) ? alias_loop() : alias_host(); }

unsigned alias_scopes(uint32_t ip) { return alias_is_loop(ip) ? 1u << IM_SCOPE_LOOPBACK : IM_SCOPES_REMOTE; }

uint16_t alias_hidden_port(uint16_t port) { return port && port < 1024 ? (uint16_t)(IM_LOW_PORTS + port) : port; }

uint16_t alias_plain_port(uint16_t real) { return real > IM_LOW_PORTS ? (uint16_t)(real - IM_LOW_PORTS) : real; }

bool alias_extra_of(const struct im_addr *real, unsigned scopes, struct im_addr *shown) {
  struct im_port listed;
  if (real->ip != alias_loop() || !table_find_extra(real->ip, real->port, scopes, &listed)) return false;
  *shown = (struct im_addr){listed.address, listed.port, real->form};
  return true;
}

bool alias_virtual(uint32_t real, uint32_t *address) {
  const struct im_cluster *cluster = table_cluster();
  if (real == alias_loop()) {
    *address = IM_LOOPBACK;
    return true;
  }
  if ((real & 0xffff0000u) != cluster->alias_base) return false;
  *address = (cluster->base & 0xffff0000u) | (real & 0xffffu);
  return table_is_virtual(*address);
}
