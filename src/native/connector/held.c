#define _GNU_SOURCE
#include "held.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NOBODY 0x7ffffffeu /* 127.255.255.254 */

static int option(int fd, int name) {
  int value = 0;
  socklen_t size = sizeof value;
  return getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
}

static socklen_t write_address(int family, uint32_t ip, uint16_t port, struct sockaddr_storage *to) {
  memset(to, 0, sizeof *to);
  if (family != AF_INET6) {
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(ip)};
    memcpy(to, &in, sizeof in);
    return sizeof in;
  }
  struct sockaddr_in6 in = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
  uint32_t last = htonl(ip);
  in.sin6_addr.s6_addr[10] = in.sin6_addr.s6_addr[11] = 0xff;
  memcpy(&in.sin6_addr.s6_addr[12], &last, sizeof last);
  memcpy(to, &in, sizeof in);
  return sizeof in;
}

/* The IPv4 address and port that the socket has now; an IPv6 socket's address is 0 unless it stands for an IPv4 one. */
static bool name_of(int fd, uint32_t *ip, uint16_t *port) {
  struct sockaddr_storage name;
  socklen_t size = sizeof name;
  if (getsockname(fd, (struct sockaddr *)&name, &size) != 0) return false;
  uint32_t last = 0;
  if (name.ss_family == AF_INET6) {
    struct sockaddr_in6 in;
    memcpy(&in, &name, sizeof in);
    if (IN6_IS_ADDR_V4MAPPED(&in.sin6_addr)) memcpy(&last, &in.sin6_addr.s6_addr[12], sizeof last);
    *port = ntohs(in.sin6_port);
  } else {
    struct sockaddr_in in;
    memcpy(&in, &name, sizeof in);
    last = in.sin_addr.s_addr;
    *port = ntohs(in.sin_port);
  }
  *ip = ntohl(last);
  return true;
}

static size_t add(char *control, size_t at, int type, const void *value, size_t size) {
  struct cmsghdr header = {.cmsg_len = CMSG_LEN(size), .cmsg_level = IPPROTO_IP, .cmsg_type = type};
  memcpy(control + at, &header, sizeof header);
  memcpy(control + at + CMSG_LEN(0), value, size);
  return at + CMSG_SPACE(size);
}

static bool send_from(int fd, int family, const void *bytes, size_t size, const struct im_held *held) {
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(struct in_pktinfo)) + 2 * CMSG_SPACE(sizeof(int))];
  } control;
  struct sockaddr_storage to;
  struct in_pktinfo from = {.ipi_spec_dst.s_addr = htonl(held->source)};
  int ttl = (int)(held->marks & 0xff), tos = (int)(held->marks >> 8 & 0xff);
  struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
  struct msghdr message = {.msg_name = &to, .msg_iov = &part, .msg_iovlen = 1};
  size_t given = 0;
  memset(&control, 0, sizeof control);
  message.msg_namelen = write_address(family, held->real, held->real_port, &to);
  if (held->source) given = add(control.bytes, given, IP_PKTINFO, &from, sizeof from);
  if (ttl) {
    given = add(control.bytes, given, IP_TTL, &ttl, sizeof ttl);
    given = add(control.bytes, given, IP_TOS, &tos, sizeof tos);
  }
  if (given) message.msg_control = control.bytes;
  message.msg_controllen = given;
  ssize_t sent;
  do {
    sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent == (ssize_t)size;
}

/*
 * A socket at the port that the guest's had. It is connected to nobody, so that the kernel gives the answers to the
 * guest's; for the bind alone the two share the port.
 */
static int stand_in(int fd, uint32_t source, uint16_t port) {
  int on = 1, shared = option(fd, SO_REUSEADDR), protocol = option(fd, SO_PROTOCOL);
  int own = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, protocol < 0 ? 0 : protocol);
  if (own < 0) return -1;
  struct sockaddr_storage here, nobody;
  socklen_t size = write_address(AF_INET, source, port, &here);
  setsockopt(own, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (shared == 0) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  int result = bind(own, (struct sockaddr *)&here, size);
  if (shared == 0) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &shared, sizeof shared);
  size = write_address(AF_INET, NOBODY, 9, &nobody);
  if (result == 0 && connect(own, (struct sockaddr *)&nobody, size) == 0) return own;
  close(own);
  return -1;
}

bool held_send(int fd, const void *bytes, size_t size, const struct im_held *held) {
  uint32_t ip;
  uint16_t port;
  int family = option(fd, SO_DOMAIN);
  if (family < 0 || !name_of(fd, &ip, &port)) return false;
  bool moved = held->source_port && port != held->source_port;
  if (!moved && send_from(fd, family, bytes, size, held)) return true;
  /* Taken back from its port by a disconnect, or shut down. */
  if (!moved && errno != EPIPE) return false;
  int own = stand_in(fd, held->source ? held->source : ip, moved ? held->source_port : port);
  if (own < 0) return false;
  bool sent = send_from(own, AF_INET, bytes, size, held);
  close(own);
  return sent;
}
