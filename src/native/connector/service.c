#define _GNU_SOURCE
#include "internal.h"

#include <stdlib.h>
#include <string.h>

void connector_services(struct im_connector *connector, const struct im_place *places, size_t count, uint32_t *given,
                        size_t given_count) {
  struct im_place *copy = count ? malloc(count * sizeof *copy) : NULL;
  if (!copy) count = 0;
  if (copy) memcpy(copy, places, count * sizeof *copy);
  reactor_lock(&connector->reactor);
  struct im_place *old = connector->places;
  for (size_t i = 0; i < given_count; i++) given[i] = i < connector->places_count ? old[i].given : 0;
  connector->places = copy;
  connector->places_count = count;
  reactor_unlock(&connector->reactor);
  free(old);
}

/* The fewest connections; of equal ones each in its turn. */
struct im_place *service_choose(struct im_connector *connector, uint32_t service, uint16_t port) {
  struct im_place *best = NULL;
  size_t count = connector->places_count, turn = connector->turn++;
  for (size_t i = 0; i < count; i++) {
    struct im_place *place = &connector->places[(i + turn) % count];
    if (place->service != service || place->port != port || place->connections >= place->most) continue;
    if (!best || place->connections < best->connections) best = place;
  }
  return best;
}
