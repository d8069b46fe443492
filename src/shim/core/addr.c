#include "addr.h"

#include "contract/abi/abi.h"
#include "pointer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

bool addr_given(const void *address, socklen_t size) {
  struct im_page found = {0};
  return address && size <= sizeof(struct sockaddr_storage) && pointer_readable(address, size, &found);
}

bool addr_read(const void *address, socklen_t size, struct im_addr *read) {
  sa_family_t family;
  if (!address || size < sizeof family || size > sizeof(struct sockaddr_storage)) return false;
  memcpy(&family, address, sizeof family);
  if (family == AF_INET && size >= sizeof(struct sockaddr_in)) {
    struct sockaddr_in in;
    memcpy(&in, address, sizeof in);
    *read = (struct im_addr){ntohl(in.sin_addr.s_addr), ntohs(in.sin_port), IM_FORM_V4};
    return true;
  }
  if (family != AF_INET6 || size < offsetof(struct sockaddr_in6, sin6_scope_id)) return false;
  struct sockaddr_in6 in = {0};
  memcpy(&in, address, size < sizeof in ? size : sizeof in);
  read->port = ntohs(in.sin6_port);
  if (IN6_IS_ADDR_V4MAPPED(&in.sin6_addr)) {
    uint32_t ip;
    memcpy(&ip, &in.sin6_addr.s6_addr[12], sizeof ip);
    read->ip = ntohl(ip);
    read->form = IM_FORM_MAPPED;
  } else if (IN6_IS_ADDR_UNSPECIFIED(&in.sin6_addr)) {
    read->ip = 0;
    read->form = IM_FORM_V6_ANY;
  } else if (IN6_IS_ADDR_LOOPBACK(&in.sin6_addr)) {
    read->ip = IM_LOOPBACK;
    read->form = IM_FORM_V6_LOOP;
  } else
    return false;
  return true;
}

bool addr_is_nowhere(const void *address, socklen_t size) {
  sa_family_t family;
  if (!address || size < sizeof family) return false;
  memcpy(&family, address, sizeof family);
  return family == AF_UNSPEC;
}

bool addr_is_other_loopback(uint32_t ip) { return ip >> 24 == 127 && ip != IM_LOOPBACK && ip != IM_RESOLVER; }

uint8_t addr_plain(uint8_t form) { return form == IM_FORM_V4 ? IM_FORM_V4 : IM_FORM_MAPPED; }

int addr_family(uint8_t form) { return form == IM_FORM_V4 ? AF_INET : AF_INET6; }

struct im_addr addr_real(const struct im_addr *to, uint32_t real, uint16_t real_port) {
  if (real == IM_REAL_LOOPBACK6) return (struct im_addr){IM_LOOPBACK, real_port, IM_FORM_V6_LOOP};
  return (struct im_addr){real, real_port, addr_plain(to->form)};
}

socklen_t addr_write(const struct im_addr *from, struct sockaddr_storage *to) {
  if (from->form == IM_FORM_V4) {
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(from->port), .sin_addr.s_addr = htonl(from->ip)};
    memcpy(to, &in, sizeof in);
    return sizeof in;
  }
  struct sockaddr_in6 in = {.sin6_family = AF_INET6, .sin6_port = htons(from->port)};
  if (from->form == IM_FORM_MAPPED) {
    uint32_t ip = htonl(from->ip);
    in.sin6_addr.s6_addr[10] = in.sin6_addr.s6_addr[11] = 0xff;
    memcpy(&in.sin6_addr.s6_addr[12], &ip, sizeof ip);
  } else if (from->form == IM_FORM_V6_LOOP)
    in.sin6_addr = in6addr_loopback;
  memcpy(to, &in, sizeof in);
  return sizeof in;
}

void addr_give(const struct sockaddr_storage *from, socklen_t size, struct sockaddr *to, socklen_t *to_size) {
  memcpy(to, from, *to_size < size ? *to_size : size);
  *to_size = size;
}
