/* The passive side: where a guest listens. */
#include "passive.h"

static void from_the_peer(void) {
  int fd = listens(at(ANY, port + 1), 16, 0);
  local(fd);
  ask_for_connections(port + 1, 1);
  reads(accepts(fd));
}

static void at_the_virtual_address(void) {
  int fd = listens(at(self_ip, port + 1), 16, 0), other = tcp(0);
  local(fd);
  ask_for_connections(port + 1, 1);
  reads(accepts(fd));
  connects(other, at(LOOP, port + 1));
}

static void at_loopback_only(void) {
  int fd = listens(at(LOOP, port + 1), 16, 0), client = tcp(0), other = tcp(0);
  local(fd);
  ask_for_connections(port + 1, 1);
  connects(other, at(self_ip, port + 1));
  connects(client, at(LOOP, port + 1));
  accepts(fd);
}

static void loopback_and_virtual(void) {
  int loop = listens(at(LOOP, port + 1), 16, SOCK_NONBLOCK), own = listens(at(self_ip, port + 1), 16, SOCK_NONBLOCK);
  int client = tcp(0);
  ask_for_connections(port + 1, 1);
  accepts(own);
  connects(client, at(LOOP, port + 1));
  accepts(loop);
  result("accept", accept(own, 0, 0));
}

#define OTHER_LOOP ((struct in_addr){htonl(0x7f00000a)}) /* 127.0.0.10 */
#define THIRD_LOOP ((struct in_addr){htonl(0x7f000101)})

static void at_another_loopback(void) {
  int fd = listens(at(OTHER_LOOP, port + 1), 16, 0), same = listens(at(THIRD_LOOP, port + 1), 16, 0), client = tcp(0),
      other = tcp(0), third = tcp(0);
  local(fd);
  connects(client, at(OTHER_LOOP, port + 1));
  remote(client);
  int server = accepts(fd);
  local(server);
  connects(third, at(THIRD_LOOP, port + 1));
  local(accepts(same));
  connects(other, at(LOOP, port + 1));
  close(fd);
  close(server);
  other = tcp(0);
  connects(other, at(OTHER_LOOP, port + 1));
}

static void port_zero_at_another_loopback(void) {
  int fd = tcp(0), client = tcp(0), from = tcp(0);
  binds(fd, at(OTHER_LOOP, 0));
  uint16_t chosen = port_of(fd);
  result("listen", listen(fd, 4));
  say("%s", port_of(fd) == chosen ? "the same port" : "another port");
  binds(from, at(THIRD_LOOP, 0));
  connects(from, at(OTHER_LOOP, chosen));
  accepts(fd);
  connects(client, at(OTHER_LOOP, chosen));
  remote(client);
  local(accepts(fd));
}

static void another_loopback_is_taken(void) {
  int fd = listens(at(OTHER_LOOP, port + 1), 16, 0), second = tcp(0), third = tcp(0);
  (void)fd;
  binds(second, at(OTHER_LOOP, port + 1));
  binds(third, at(THIRD_LOOP, port + 1));
}

static void port_zero(void) {
  int fd = listens(at(ANY, 0), 16, 0), client = tcp(0);
  local(fd);
  connects(client, at(self_ip, port_of(fd)));
  accepts(fd);
  ask_for_connections(port_of(fd), 1);
  accepts(fd);
}

static void not_bound(void) {
  int fd = tcp(0), client = tcp(0);
  result("listen", listen(fd, 4));
  local(fd);
  connects(client, at(LOOP, port_of(fd)));
  accepts(fd);
}

static void taken(void) {
  int first = listens(at(ANY, port + 1), 4, 0), second = tcp(0), third = tcp(0), fourth = tcp(0);
  (void)first;
  binds(second, at(ANY, port + 1));
  binds(third, at(self_ip, port + 1));
  binds(fourth, at(LOOP, port + 1));
  binds(fourth, at(LOOP, port + 2));
}

static void taken_with_reuse(void) {
  listens(at(ANY, port + 1), 4, 0);
  listens(at(ANY, port + 1), 4, 0);
}

static void taken_at_the_virtual_address(void) {
  listens(at(self_ip, port + 1), 4, 0);
  int second = tcp(0), third = tcp(0);
  binds(second, at(self_ip, port + 1));
  binds(third, at(LOOP, port + 1));
}

static void foreign(void) {
  int fd = tcp(0);
  binds(fd, at(ip("192.0.2.1"), port + 1));
  binds(fd, at(ip("192.0.2.1"), 0));
  binds(fd, at(ANY, port + 1));
  local(fd);
}

static void low(void) {
  int fd = listens(at(ANY, 603), 16, 0), client = tcp(0), loop = tcp(0);
  local(fd);
  connects(client, at(self_ip, 603));
  remote(client);
  accepts(fd);
  connects(loop, at(LOOP, 603));
  remote(loop);
  accepts(fd);
  ask_for_connections(603, 1);
  accepts(fd);
}

static void low_taken(void) {
  listens(at(ANY, 604), 16, 0);
  int second = tcp(0);
  binds(second, at(ANY, 604));
  binds(second, at(ANY, 605));
  local(second);
}

static void bound_twice(void) {
  int fd = tcp(0);
  binds(fd, at(ANY, port + 1));
  binds(fd, at(ANY, port + 2));
  local(fd);
}

static void listen_twice(void) {
  int fd = listens(at(ANY, port + 1), 1, 0);
  result("listen", listen(fd, 64));
  ask_for_connections(port + 1, 5);
  for (int i = 0; i < 5; i++) accepts(fd);
}

static void listen_when_connected(void) {
  int fd = tcp(0);
  connects(fd, SERVER);
  result("listen", listen(fd, 1));
}

static void bound_not_listening(void) {
  int fd = tcp(0), client = tcp(0);
  binds(fd, at(ANY, port + 1));
  connects(client, at(self_ip, port + 1));
  result("accept", accept(fd, 0, 0));
}

static void v6_any(void) {
  struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)(port + 1))};
  int fd = tcp6(0), four = tcp(0), six = tcp6(0);
  result("bind", raw_bind6(fd, any));
  result("listen", listen(fd, 4));
  local(fd);
  connects(four, at(self_ip, port + 1));
  accepts(fd);
  result("connect", raw_connect6(six, mapped(self_ip, port + 1)));
  accepts(fd);
  ask_for_connections(port + 1, 1);
  accepts(fd);
}

static void v6_mapped(void) {
  int fd = tcp6(0);
  result("bind", raw_bind6(fd, mapped(self_ip, port + 1)));
  result("listen", listen(fd, 4));
  local(fd);
  ask_for_connections(port + 1, 1);
  accepts(fd);
}

static void v6_and_v4(void) {
  struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)(port + 1))};
  int four = listens(at(ANY, port + 1), 4, 0), six = tcp6(0), only = tcp6(0);
  (void)four;
  result("bind", raw_bind6(six, any));
  set_option(only, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  result("bind", raw_bind6(only, any));
  result("listen", listen(only, 4));
  local(only);
}

static void bind_arguments(void) {
  struct sockaddr_in to = at(ANY, port + 1);
  int fd = tcp(0);
  result("short", bind(fd, (struct sockaddr *)&to, 8));
  result("none", bind(fd, 0, sizeof to));
  to.sin_family = AF_UNIX;
  result("family", bind(fd, (struct sockaddr *)&to, sizeof to));
  binds(-1, to);
  result("listen", listen(-1, 1));
  result("listen", listen(open("/dev/null", O_RDWR), 1));
}

static void reuse_address_set_later(void) {
  int fd = listens(at(ANY, port + 1), 4, 0);
  say("%d %d", get_option(fd, SOL_SOCKET, SO_REUSEADDR), get_option(fd, SOL_SOCKET, SO_ACCEPTCONN));
  close(fd);
  fd = tcp(0);
  binds(fd, at(ANY, port + 2));
  say("%d %d", get_option(fd, SOL_SOCKET, SO_REUSEADDR), get_option(fd, SOL_SOCKET, SO_ACCEPTCONN));
}

static const struct one cases[] = {
    {"from the other host", from_the_peer},
    {"at the virtual address", at_the_virtual_address},
    {"at loopback only", at_loopback_only},
    {"at loopback and at the virtual address", loopback_and_virtual},
    {"at another loopback address", at_another_loopback},
    {"port 0 at another loopback address", port_zero_at_another_loopback},
    {"another loopback address that is taken", another_loopback_is_taken},
    {"port 0", port_zero},
    {"listen without bind", not_bound},
    {"a port that is taken", taken},
    {"a port that is taken, with SO_REUSEADDR", taken_with_reuse},
    {"a port that is taken at the virtual address", taken_at_the_virtual_address},
    {"a foreign address", foreign},
    {"a port below 1024", low},
    {"a port below 1024 that is taken", low_taken},
    {"bind twice", bound_twice},
    {"listen twice", listen_twice},
    {"listen when connected", listen_when_connected},
    {"bound and not listening", bound_not_listening},
    {"IPv6 wildcard", v6_any},
    {"IPv6 socket at a mapped address", v6_mapped},
    {"IPv6 beside IPv4", v6_and_v4},
    {"bad arguments", bind_arguments},
    {"options", reuse_address_set_later},
};

MAIN(cases)
