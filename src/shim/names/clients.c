#include "clients.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PREFIX "client-"

/*
 * The first and the last of them, as src/contract/manifest/address.ts has it: 1/16 of the block, 4 at least and 256 at
 * most.
 */
static void range(uint32_t *first, uint32_t *last) {
  const struct im_cluster *cluster = table_cluster();
  uint32_t broadcast = cluster->base | ~cluster->mask, count = (~cluster->mask >> 4) + 1;
  if (count < 4) count = 4;
  if (count > 256) count = 256;
  *first = broadcast + 1 - count;
  *last = broadcast - 1;
}

bool clients_at(uint32_t address, struct im_location *location, char text[IM_CLIENT_NAME]) {
  struct im_location host;
  uint32_t first, last;
  range(&first, &last);
  if (address < first || address > last) return false;
  size_t length = (size_t)snprintf(text, IM_CLIENT_NAME, PREFIX "%u", address - first);
  /* A host may have the name. */
  for (; table_find_name(text, &host); length += 2) {
    if (host.address == address) break;
    if (length + 3 > IM_CLIENT_NAME) return false;
    memcpy(text + length, "-x", 3);
  }
  *location = (struct im_location){.address = address, .name = text};
  return true;
}

bool clients_named(const char *name, struct im_location *location, char text[IM_CLIENT_NAME]) {
  uint32_t first, last;
  if (strncasecmp(name, PREFIX, sizeof PREFIX - 1)) return false;
  range(&first, &last);
  unsigned long number = strtoul(name + sizeof PREFIX - 1, 0, 10);
  return number <= last - first && clients_at(first + (uint32_t)number, location, text) && !strcasecmp(name, text);
}
