#include "hostent.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

/* What the pointers of a hostent point to, in front of the name itself. */
struct parts {
  char *aliases[1];
  char *addresses[2];
  unsigned char address[16];
};

int hostent_build(struct hostent *entry, char *buffer, size_t size, const char *name, uint32_t address, int family) {
  size_t skip = -(uintptr_t)buffer % _Alignof(struct parts), length = strlen(name) + 1;
  if (size < skip || size - skip < sizeof(struct parts) + length) return ERANGE;
  struct parts *parts = (struct parts *)(void *)(buffer + skip);
  char *text = (char *)(parts + 1);
  memcpy(text, name, length - 1);
  text[length - 1] = 0;
  uint32_t network = htonl(address);
  memset(parts, 0, sizeof *parts);
  if (family == AF_INET6) {
    parts->address[10] = parts->address[11] = 0xff;
    memcpy(parts->address + 12, &network, sizeof network);
  } else
    memcpy(parts->address, &network, sizeof network);
  parts->addresses[0] = (char *)parts->address;
  *entry = (struct hostent){.h_name = text,
                            .h_aliases = parts->aliases,
                            .h_addrtype = family,
                            .h_length = family == AF_INET6 ? 16 : 4,
                            .h_addr_list = parts->addresses};
  return 0;
}
