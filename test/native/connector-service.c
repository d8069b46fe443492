/* Which host a connect to a service goes to, of those that have room; what was given is told with the next places. */
#define _GNU_SOURCE
#include "connector/internal.h"
#include "members.h"

#include <stdio.h>

#define SERVICE 0x64400009u

static void nothing(void *context, enum im_event event, uint32_t subject, int32_t detail) {
  (void)context, (void)event, (void)subject, (void)detail;
}

static uint32_t choose(struct im_connector *connector, uint16_t port) {
  struct im_place *place = service_choose(connector, SERVICE, port);
  if (!place) return 0;
  place->connections++;
  place->given++;
  return place->host;
}

int main(void) {
  struct im_connector *connector = connector_create(0x7f3e0000u, nothing, 0);
  uint32_t given[3] = {7, 7, 7};
  CHECK(connector && choose(connector, 80) == 0);

  puts("the fewest connections, up to what makes each full");
  struct im_place places[] = {{.service = SERVICE, .host = 1, .port = 80, .connections = 1, .most = 2},
                              {.service = SERVICE, .host = 2, .port = 80, .most = 2},
                              {.service = SERVICE + 1, .host = 3, .port = 80, .most = 2}};
  connector_services(connector, places, 3, given, 3);
  CHECK(given[0] == 0 && given[1] == 0 && given[2] == 0);
  CHECK(choose(connector, 80) == 2);
  CHECK(choose(connector, 80) + choose(connector, 80) == 3);
  CHECK(choose(connector, 80) == 0);
  CHECK(choose(connector, 81) == 0);

  puts("what was given, of the places before, in their order");
  connector_services(connector, 0, 0, given, 2);
  CHECK(given[0] == 1 && given[1] == 2);
  CHECK(choose(connector, 80) == 0);

  puts("equal ones each in its turn");
  int counts[2] = {0, 0};
  for (int i = 0; i < 100; i++) {
    struct im_place equal[] = {{.service = SERVICE, .host = 0, .port = 80, .most = 9},
                               {.service = SERVICE, .host = 1, .port = 80, .most = 9}};
    connector_services(connector, equal, 2, given, 0);
    counts[service_choose(connector, SERVICE, 80)->host]++;
  }
  CHECK(counts[0] == 50 && counts[1] == 50);
  connector_stop(connector);
  connector_release(connector);
  puts("ok");
  return 0;
}
