/*
 * The table file: any bytes, and any bytes written over it after it was validated.
 * Input: u8 count, count × (u32 offset, u32 value) to be written, then the file.
 */
#include <time.h>
/* Nobody writes here meanwhile: waiting for a writer may be short. */
#define nanosleep(wanted, left) ((void)(wanted), (void)(left), 0)
#include "core/table.c"
#include "names/hostent.h"
#include "names/names.h"
#include "connect/route.h"
#include "listen/sockname.h"

#include "fuzz.h"

static void read_text(const char *text) { fuzz_sink += strlen(text); }

static void build_entries(const struct im_location *location) {
  for (size_t size = 0; size < 160; size += 13) {
    struct hostent entry;
    char *buffer = malloc(size + 1);
    if (hostent_build(&entry, buffer, size, location->name, location->address, size % 2 ? AF_INET : AF_INET6) == 0)
      read_text(entry.h_name);
    free(buffer);
  }
}

static void ask_everything(void) {
  static const char *const names[] = {"web", "api", "db.test", "node-2", "NOBODY.", "", "."};
  static const uint32_t addresses[] = {0x64400101, 0x64400102, 0x64400103, 0, 0x7f000001, 0x644001ff, 0xffffffff};
  struct im_location location;
  struct im_port port;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (table_find_name(names[i], &location)) read_text(location.name);
  for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
    char host[24];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(addresses[i])};
    if (table_find_address(addresses[i], &location)) build_entries(&location);
    if (table_is_virtual(addresses[i]) && table_find_address(addresses[i], &location) &&
        names_getnameinfo((struct sockaddr *)&to, sizeof to, host, sizeof host, 0, 0, 0) == 0)
      read_text(host);
    for (uint8_t form = 0; form < 4; form++) {
      struct im_route route = route_find(&(struct im_addr){addresses[i], 80, form});
      route_holds(&(struct im_addr){addresses[i], 80, form}, &route);
    }
    for (unsigned scopes = 1; scopes < 0x100; scopes = scopes * 3 + 1) {
      table_find_port(addresses[i], 80, scopes, &port);
      table_find_real_port(addresses[i], 0x7fe60101, 8080, scopes, &port);
    }
  }
  /* What the table itself names, so that corrupt orders and hashes are found too. */
  for (uint32_t i = 0; i < table.hosts_count && i < 8; i++) {
    if (table_find_address(table.hosts[i].address, &location)) read_text(location.name);
  }
  for (uint32_t i = 0; i < table.names_capacity && i < 32; i++) {
    char name[300];
    snprintf(name, sizeof name, "%.*s", 299, string_at(table.names[i].name));
    if (table_find_name(name, &location)) read_text(location.name);
  }
  read_text(table_cluster()->hostname);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct input input = {data, size};
  uint32_t writes[255][2];
  uint32_t count = number(&input, 1);
  take(&input, writes, count * sizeof writes[0]);
  size_t length = input.left;
  /* One zero behind the file: where it is mapped, a page of them. */
  uint8_t *file = piece(&input, &length, 1);
  memset(&table, 0, sizeof table);
  abandoned = 0;
  if (length >= sizeof(struct im_table_header) && usable(file, length)) {
    ask_everything();
    for (uint32_t i = 0; i < count; i++) memcpy(file + (writes[i][0] % (length - 3)), &writes[i][1], sizeof(uint32_t));
    if (count) ask_everything();
  }
  free(file);
  return 0;
}
