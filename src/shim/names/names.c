#include "names.h"

#include "core/addr.h"
#include "clients.h"
#include "hostent.h"
#include "core/shim.h"
#include "core/table.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

/* libc's error for a name of /etc/hosts that has addresses of the other family only. */
#ifdef __GLIBC__
#define NO_SUCH_FAMILY EAI_NONAME
#else
#define NO_SUCH_FAMILY EAI_NODATA
#endif

/* The host or client that a name or an address is of. A host's name is in the table, a client's here. */
struct named {
  struct im_location location;
  char client[IM_CLIENT_NAME];
};

enum whose { OTHERS, OURS, NOBODYS };

static bool in_cluster(const char *name, struct named *found) {
  return table_find_name(name, &found->location) || clients_named(name, &found->location, found->client);
}

/* A name below one of the cluster's can only be the cluster's, and there are none. A number is part of an address. */
static bool is_below(const char *name) {
  struct named found;
  for (const char *dot = strchr(name, '.'); dot; dot = strchr(dot + 1, '.'))
    if (dot[1] && dot[1 + strspn(dot + 1, "0123456789.")] && in_cluster(dot + 1, &found)) return true;
  return false;
}

static enum whose by_name(const char *name, struct named *found) {
  if (!name || !shim_active()) return OTHERS;
  if (in_cluster(name, found)) return OURS;
  return is_below(name) ? NOBODYS : OTHERS;
}

static enum whose by_address(uint32_t address, struct named *found) {
  if (!table_is_virtual(address)) return OTHERS;
  bool ours = table_find_address(address, &found->location) || clients_at(address, &found->location, found->client);
  return ours ? OURS : NOBODYS;
}

/*
 * glibc frees ai_canonname by itself, so it must be allocated. musl names every address, asked or not, keeps the name
 * in the block of the addresses and never frees it alone, so it may point into the table, which stays mapped. A
 * client's name is not there, and stays what musl wrote, the address.
 */
static void set_canonical_name(struct addrinfo *list, const struct named *found, int flags) {
  const char *name = found->location.name;
#ifdef __GLIBC__
  char *copy = flags & AI_CANONNAME ? strndup(name, strlen(name)) : 0;
  if (!copy) return;
  free(list->ai_canonname);
  list->ai_canonname = copy;
#else
  (void)flags;
  if (name == found->client) return;
  for (; list; list = list->ai_next) list->ai_canonname = (char *)(uintptr_t)name;
#endif
}

int names_getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **result) {
  struct named found = {.location.address = 0};
  struct addrinfo numeric = {.ai_flags = AI_V4MAPPED | AI_ADDRCONFIG};
  char text[INET_ADDRSTRLEN];
  if (hints) numeric = *hints;
  enum whose whose = numeric.ai_flags & AI_NUMERICHOST ? OTHERS : by_name(name, &found);
  if (whose == OTHERS) return libc_getaddrinfo(name, service, hints, result);
  /* Every host has an address, and none has one of IPv6. What is wrong besides is reported first, as libc does it. */
  bool no_family = numeric.ai_family == AF_INET6 && !(numeric.ai_flags & AI_V4MAPPED);
  if (no_family) numeric.ai_family = AF_INET;
  uint32_t address = htonl(found.location.address);
  inet_ntop(AF_INET, &address, text, sizeof text);
  /* libc makes the list from the address, so that all its memory is libc's own. */
  numeric.ai_flags = (numeric.ai_flags & ~AI_ADDRCONFIG) | AI_NUMERICHOST;
  int error = libc_getaddrinfo(text, service, &numeric, result);
  if (error == 0 && (no_family || whose == NOBODYS)) {
    freeaddrinfo(*result);
    return whose == NOBODYS ? EAI_NONAME : NO_SUCH_FAMILY;
  }
  if (error == 0) set_canonical_name(*result, &found, numeric.ai_flags);
  return error;
}

int names_getnameinfo(const struct sockaddr *address, socklen_t size, char *host, socklen_t host_size, char *service,
                      socklen_t service_size, int flags) {
  struct im_addr at;
  struct named found;
  bool asked = host && host_size && !(flags & NI_NUMERICHOST) && shim_active() && addr_given(address, size) &&
               addr_read(address, size, &at);
  enum whose whose = asked ? by_address(at.ip, &found) : OTHERS;
  if (whose == NOBODYS && flags & NI_NAMEREQD) return EAI_NONAME;
  if (whose != OURS)
    return libc_getnameinfo(address, size, host, host_size, service, service_size,
                            whose == NOBODYS ? flags | NI_NUMERICHOST : flags);
  if (service && service_size) {
    int error = libc_getnameinfo(address, size, 0, 0, service, service_size, flags & ~NI_NAMEREQD);
    if (error) return error;
  }
  size_t length = strnlen(found.location.name, host_size);
  if (length == host_size) return EAI_OVERFLOW;
  memcpy(host, found.location.name, length);
  host[length] = 0;
  return 0;
}

/* An address as gethostbyaddr gets it. */
static enum whose at_address(const void *address, socklen_t size, int family, struct named *found) {
  const unsigned char *bytes = address;
  static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  uint32_t ip;
  if (!shim_active() || !address) return OTHERS;
  if (family == AF_INET6 && size == 16 && !memcmp(bytes, mapped, sizeof mapped))
    bytes += 12;
  else if (family != AF_INET || size != 4)
    return OTHERS;
  memcpy(&ip, bytes, sizeof ip);
  return by_address(ntohl(ip), found);
}

/* What a look-up ends with that finds no address: 0, or h_errno's value. */
static int failure_of(enum whose whose, int family) {
  if (whose == NOBODYS) return HOST_NOT_FOUND;
  return family == AF_INET ? 0 : NO_DATA;
}

/* As libc's own: one result per process, overwritten by the next call. */
static struct hostent *in_static_memory(const struct named *found, int family, int failure) {
  static struct hostent entry;
  static _Alignas(void *) char buffer[512];
  if (failure)
    h_errno = failure;
  else if (hostent_build(&entry, buffer, sizeof buffer, found->location.name, found->location.address, family) == 0)
    return &entry;
  else
    h_errno = NO_RECOVERY;
  return 0;
}

struct hostent *names_by_name(const char *name, int family, int *ours) {
  struct named found;
  enum whose whose = family == AF_INET || family == AF_INET6 ? by_name(name, &found) : OTHERS;
  *ours = whose != OTHERS;
  return *ours ? in_static_memory(&found, family, failure_of(whose, family)) : 0;
}

struct hostent *names_by_address(const void *address, socklen_t size, int family, int *ours) {
  struct named found;
  enum whose whose = at_address(address, size, family, &found);
  *ours = whose != OTHERS;
  return *ours ? in_static_memory(&found, family, failure_of(whose, AF_INET)) : 0;
}

static int build(struct hostent *entry, char *buffer, size_t size, struct hostent **result, int *error,
                 const struct named *found, int family, int failure) {
  *result = 0;
  if (failure) {
    if (error) *error = failure;
    return 0;
  }
  failure = hostent_build(entry, buffer, size, found->location.name, found->location.address, family);
  if (failure && error) *error = -1; /* glibc's NETDB_INTERNAL: look at errno */
  if (!failure) *result = entry;
  return failure;
}

int names_by_name_r(const char *name, int family, struct hostent *entry, char *buffer, size_t size,
                    struct hostent **result, int *error, int *ours) {
  struct named found;
  enum whose whose = family == AF_INET || family == AF_INET6 ? by_name(name, &found) : OTHERS;
  *ours = whose != OTHERS;
  return *ours ? build(entry, buffer, size, result, error, &found, family, failure_of(whose, family)) : 0;
}

int names_by_address_r(const void *address, socklen_t length, int family, struct hostent *entry, char *buffer,
                       size_t size, struct hostent **result, int *error, int *ours) {
  struct named found;
  enum whose whose = at_address(address, length, family, &found);
  *ours = whose != OTHERS;
  return *ours ? build(entry, buffer, size, result, error, &found, family, failure_of(whose, AF_INET)) : 0;
}

#ifdef __GLIBC__
/*
 * What the table answers is answered at once, and libc is asked for the rest: it skips entries that are NULL, and gives
 * notice, as asked for, when all are done, also when none are left. gai_error and gai_suspend read what is written
 * here.
 */
int names_getaddrinfo_a(int mode, struct gaicb *list[], int count, struct sigevent *event) {
  struct named found;
  bool any = false;
  for (int i = 0; i < count && list; i++) any |= list[i] && by_name(list[i]->ar_name, &found) != OTHERS;
  if (!any || (mode != GAI_WAIT && mode != GAI_NOWAIT)) return libc_getaddrinfo_a(mode, list, count, event);
  struct gaicb **rest = calloc((size_t)count, sizeof *rest);
  if (!rest) return EAI_MEMORY;
  for (int i = 0; i < count; i++) {
    struct gaicb *one = list[i];
    if (!one || by_name(one->ar_name, &found) == OTHERS)
      rest[i] = one;
    else
      one->__return = names_getaddrinfo(one->ar_name, one->ar_service, one->ar_request, &one->ar_result);
  }
  int error = libc_getaddrinfo_a(mode, rest, count, event);
  free(rest);
  return error;
}
#endif
