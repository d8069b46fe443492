#include "faces.h"

#include "table.h"

bool faces_flat(void) { return table_cluster()->flat_base != 0; }

uint32_t faces_host(void) {
  const struct im_cluster *cluster = table_cluster();
  return cluster->flat_base ? cluster->flat_base | (cluster->self & 0xffff) : 0;
}

uint32_t faces_loop(void) {
  const struct im_cluster *cluster = table_cluster();
  return cluster->flat_base ? cluster->flat_loop | (cluster->self & 0xffff) : IM_LOOPBACK;
}

bool faces_shared(void) { return faces_flat() && !table_cluster()->carried; }

bool faces_is_alias(uint32_t ip) {
  const struct im_cluster *cluster = table_cluster();
  uint32_t network = ip & 0xffff0000u, host = ip & 0xffffffu;
  if (!host || host == 0xffffffu) return false; /* the network's own, and everybody's */
  return faces_shared() && addr_is_other_loopback(ip) && network != cluster->flat_base && network != cluster->flat_loop;
}

bool faces_alias(const struct im_addr *real, unsigned scopes, struct im_addr *shown) {
  struct im_port listed;
  if (real->ip != faces_loop() || !table_find_alias(real->ip, real->port, scopes, &listed)) return false;
  *shown = (struct im_addr){listed.address, listed.port, real->form};
  return true;
}

bool faces_virtual(uint32_t real, uint32_t *address) {
  const struct im_cluster *cluster = table_cluster();
  if (!cluster->flat_base) return false;
  if (real == faces_loop()) {
    *address = IM_LOOPBACK;
    return true;
  }
  if ((real & 0xffff0000u) != cluster->flat_base) return false;
  *address = (cluster->base & 0xffff0000u) | (real & 0xffffu);
  return table_is_virtual(*address);
}
