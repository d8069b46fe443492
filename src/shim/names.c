#include "names.h"

#include "addr.h"
#include "hostent.h"
#include "init.h"
#include "table.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What libc says of a name of /etc/hosts that has addresses of the other family only. */
#ifdef __GLIBC__
#define NO_SUCH_FAMILY EAI_NONAME
#else
#define NO_SUCH_FAMILY EAI_NODATA
#endif

static bool in_cluster(const char *name, struct im_place *place) {
  return name && im_active() && table_find_name(name, place);
}

/*
 * glibc frees ai_canonname by itself, so it must be allocated. musl names every address, asked or not, keeps the name
 * in the block of the addresses and never frees it alone, so it may point into the table, which stays mapped.
 */
static void set_canonical_name(struct addrinfo *list, const char *name, int flags) {
#ifdef __GLIBC__
  char *copy = flags & AI_CANONNAME ? strndup(name, strlen(name)) : 0;
  if (!copy) return;
  free(list->ai_canonname);
  list->ai_canonname = copy;
#else
  (void)flags;
  for (; list; list = list->ai_next) list->ai_canonname = (char *)(uintptr_t)name;
#endif
}

int names_getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **result) {
  struct im_place place;
  struct addrinfo numeric = {.ai_flags = AI_V4MAPPED | AI_ADDRCONFIG};
  char text[INET_ADDRSTRLEN];
  if (hints) numeric = *hints;
  if (numeric.ai_flags & AI_NUMERICHOST || !in_cluster(name, &place))
    return libc_getaddrinfo(name, service, hints, result);
  /* Every host has an address, and none has one of IPv6. What is wrong besides is said first, as libc does it. */
  bool none = numeric.ai_family == AF_INET6 && !(numeric.ai_flags & AI_V4MAPPED);
  if (none) numeric.ai_family = AF_INET;
  uint32_t address = htonl(place.address);
  inet_ntop(AF_INET, &address, text, sizeof text);
  /* libc makes the list from the address, so that all its memory is libc's own. */
  numeric.ai_flags = (numeric.ai_flags & ~AI_ADDRCONFIG) | AI_NUMERICHOST;
  int error = libc_getaddrinfo(text, service, &numeric, result);
  if (error == 0 && none) {
    freeaddrinfo(*result);
    return NO_SUCH_FAMILY;
  }
  if (error == 0) set_canonical_name(*result, place.name, numeric.ai_flags);
  return error;
}

int names_getnameinfo(const struct sockaddr *address, socklen_t size, char *host, socklen_t host_size, char *service,
                      socklen_t service_size, int flags) {
  struct im_addr at;
  struct im_place place;
  bool ours = host && host_size && !(flags & NI_NUMERICHOST) && im_active() && addr_read(address, size, &at) &&
              table_is_virtual(at.ip) && table_find_address(at.ip, &place);
  if (!ours) return libc_getnameinfo(address, size, host, host_size, service, service_size, flags);
  if (service && service_size) {
    int error = libc_getnameinfo(address, size, 0, 0, service, service_size, flags & ~NI_NAMEREQD);
    if (error) return error;
  }
  size_t length = strnlen(place.name, host_size);
  if (length == host_size) return EAI_OVERFLOW;
  memcpy(host, place.name, length);
  host[length] = 0;
  return 0;
}

/* An address as gethostbyaddr gets it. */
static bool at_address(const void *address, socklen_t size, int family, struct im_place *place) {
  const unsigned char *bytes = address;
  static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  uint32_t ip;
  if (!im_active() || !address) return false;
  if (family == AF_INET6 && size == 16 && !memcmp(bytes, mapped, sizeof mapped))
    bytes += 12;
  else if (family != AF_INET || size != 4)
    return false;
  memcpy(&ip, bytes, sizeof ip);
  return table_is_virtual(ntohl(ip)) && table_find_address(ntohl(ip), place);
}

/* As libc's own: one result per process, overwritten by the next call. */
static struct hostent *in_static_memory(const char *name, uint32_t address, int family) {
  static struct hostent entry;
  static _Alignas(void *) char buffer[512];
  if (hostent_build(&entry, buffer, sizeof buffer, name, address, family) == 0) return &entry;
  h_errno = NO_RECOVERY;
  return 0;
}

struct hostent *names_by_name(const char *name, int family, int *ours) {
  struct im_place place;
  *ours = (family == AF_INET || family == AF_INET6) && in_cluster(name, &place);
  if (!*ours) return 0;
  if (family == AF_INET) return in_static_memory(place.name, place.address, family);
  h_errno = NO_DATA;
  return 0;
}

struct hostent *names_by_address(const void *address, socklen_t size, int family, int *ours) {
  struct im_place place;
  *ours = at_address(address, size, family, &place);
  return *ours ? in_static_memory(place.name, place.address, family) : 0;
}

static int build(struct hostent *entry, char *buffer, size_t size, struct hostent **result, int *error,
                 const struct im_place *place, int family) {
  int failure = hostent_build(entry, buffer, size, place->name, place->address, family);
  *result = failure ? 0 : entry;
  if (failure && error) *error = -1; /* glibc's NETDB_INTERNAL: look at errno */
  return failure;
}

int names_by_name_r(const char *name, int family, struct hostent *entry, char *buffer, size_t size,
                    struct hostent **result, int *error, int *ours) {
  struct im_place place;
  *ours = (family == AF_INET || family == AF_INET6) && in_cluster(name, &place);
  if (!*ours) return 0;
  if (family == AF_INET) return build(entry, buffer, size, result, error, &place, family);
  *result = 0;
  if (error) *error = NO_DATA;
  return 0;
}

int names_by_address_r(const void *address, socklen_t length, int family, struct hostent *entry, char *buffer,
                       size_t size, struct hostent **result, int *error, int *ours) {
  struct im_place place;
  *ours = at_address(address, length, family, &place);
  return *ours ? build(entry, buffer, size, result, error, &place, family) : 0;
}
