/* The active side: where from and where to. */
#include "differential.h"

static void bound_to_self(void) {
  int fd = tcp(0);
  binds(fd, at(self_ip, port + 1));
  local(fd);
  connects(fd, SERVER);
  local(fd);
  remote(fd);
  ping(fd);
}

static void bound_to_any(void) {
  int fd = tcp(0);
  binds(fd, at(ANY, port + 2));
  local(fd);
  connects(fd, SERVER);
  local(fd);
  ping(fd);
}

static void bound_to_any_port(void) {
  int fd = tcp(0);
  binds(fd, at(self_ip, 0));
  local(fd);
  int before = port_of(fd);
  connects(fd, SERVER);
  local(fd);
  say("same port: %d", before == port_of(fd));
}

static void bound_then_refused(void) {
  int fd = tcp(0);
  binds(fd, at(self_ip, port + 3));
  connects(fd, at(peer_ip, port + 1));
  local(fd);
  connects(fd, SERVER);
  local(fd);
  ping(fd);
}

static void bound_same_source_twice(void) {
  int first = tcp(0), second = tcp(0);
  binds(first, at(self_ip, port + 4));
  connects(first, SERVER);
  binds(second, at(self_ip, port + 4));
  ping(first);
}

static void bound_with_reuse(void) {
  int first = tcp(0), second = tcp(0);
  set_option(first, SOL_SOCKET, SO_REUSEADDR, 1);
  set_option(second, SOL_SOCKET, SO_REUSEADDR, 1);
  binds(first, at(self_ip, port + 5));
  binds(second, at(self_ip, port + 5));
  connects(first, SERVER);
  connects(second, SERVER);
  ping(first);
}

static void disconnected(void) {
  int fd = tcp(0);
  connects(fd, SERVER);
  disconnects(fd);
  local(fd);
  remote(fd);
  connects(fd, SERVER);
  remote(fd);
  ping(fd);
}

static void disconnected_when_bound(void) {
  int fd = tcp(0);
  binds(fd, at(self_ip, port + 6));
  connects(fd, SERVER);
  disconnects(fd);
  local(fd);
  remote(fd);
}

static void disconnected_unconnected(void) {
  int fd = tcp(0);
  disconnects(fd);
  local(fd);
  connects(fd, SERVER);
  ping(fd);
}

static void mapped_blocking(void) {
  int fd = tcp6(0);
  result("connect", raw_connect6(fd, mapped(peer_ip, port)));
  local(fd);
  remote(fd);
  say("IPv6: %d", get_option(fd, SOL_SOCKET, SO_DOMAIN) == AF_INET6);
  ping(fd);
}

static void mapped_nonblocking(void) {
  int fd = tcp6(SOCK_NONBLOCK);
  raw_connect6(fd, mapped(peer_ip, port));
  until(fd);
  so_error(fd);
  remote(fd);
  ping(fd);
}

static void mapped_refused(void) {
  int fd = tcp6(0);
  result("connect", raw_connect6(fd, mapped(peer_ip, port + 1)));
  result("connect", raw_connect6(fd, mapped(peer_ip, port)));
  remote(fd);
}

static void mapped_by_v6_only(void) {
  int fd = tcp6(0);
  set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  result("connect", raw_connect6(fd, mapped(peer_ip, port)));
}

static void mapped_bound(void) {
  int fd = tcp6(0);
  result("bind", raw_bind6(fd, mapped(self_ip, port + 7)));
  local(fd);
  result("connect", raw_connect6(fd, mapped(peer_ip, port)));
  local(fd);
  ping(fd);
}

static void v4_address_on_v6_socket(void) {
  int fd = tcp6(0);
  connects(fd, SERVER);
  remote(fd);
}

static void v6_address_on_v4_socket(void) {
  int fd = tcp(0);
  result("connect", raw_connect6(fd, mapped(peer_ip, port)));
}

static void to_itself(void) {
  int fd = tcp(0), listener = tcp(0);
  binds(listener, at(ANY, port + 9));
  result("listen", listen(listener, 4));
  connects(fd, at(self_ip, port + 9));
  local(fd);
  remote(fd);
  int loop = tcp(0);
  connects(loop, at(LOOP, port + 9));
  remote(loop);
  int any = tcp(0);
  connects(any, at(ANY, port + 9));
  remote(any);
}

static void to_its_own_port(void) {
  int fd = tcp(0);
  binds(fd, at(self_ip, port + 10));
  connects(fd, at(self_ip, port + 10)); /* TCP's simultaneous open with itself */
  local(fd);
  remote(fd);
}

static void port_zero(void) {
  int fd = tcp(0);
  connects(fd, at(peer_ip, 0));
  remote(fd);
}

static const struct one cases[] = {
    {"bound to the host's address", bound_to_self},
    {"bound to the wildcard", bound_to_any},
    {"bound to a port of the kernel's choice", bound_to_any_port},
    {"bound, refused, connected", bound_then_refused},
    {"bound to a source that is taken", bound_same_source_twice},
    {"bound to a source that may be shared, connected twice", bound_with_reuse},
    {"AF_UNSPEC disconnects", disconnected},
    {"AF_UNSPEC disconnects what is bound", disconnected_when_bound},
    {"AF_UNSPEC on what is not connected", disconnected_unconnected},
    {"mapped", mapped_blocking},
    {"mapped, non-blocking", mapped_nonblocking},
    {"mapped, refused, connected", mapped_refused},
    {"mapped, by a socket for IPv6 only", mapped_by_v6_only},
    {"mapped, bound", mapped_bound},
    {"an IPv4 address on an IPv6 socket", v4_address_on_v6_socket},
    {"an IPv6 address on an IPv4 socket", v6_address_on_v4_socket},
    {"to the host itself", to_itself},
    {"to the socket itself", to_its_own_port},
    {"port 0", port_zero},
};

MAIN(cases)
