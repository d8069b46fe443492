/* What a socket says about its addresses, in each of its states. */
#include "differential.h"

static void fresh(void) {
  int fd = tcp(0);
  local(fd);
  remote(fd);
}

static void fresh_v6(void) {
  int fd = tcp6(0);
  local(fd);
  remote(fd);
}

static void bound(void) {
  int any = tcp(0), own = tcp(0), loop = tcp(0);
  binds(any, at(ANY, port + 1));
  local(any);
  binds(own, at(self_ip, port + 2));
  local(own);
  binds(loop, at(LOOP, port + 3));
  local(loop);
  remote(loop);
}

static void bound_v6(void) {
  struct sockaddr_in6 at_any = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)(port + 1))};
  struct sockaddr_in6 at_loop = at_any;
  int any = tcp6(0), own = tcp6(0), loop = tcp6(0);
  at_loop.sin6_addr = in6addr_loopback;
  at_loop.sin6_port = htons((uint16_t)(port + 2));
  result("bind", raw_bind6(any, at_any));
  local(any);
  result("bind", raw_bind6(loop, at_loop));
  local(loop);
  result("bind", raw_bind6(own, mapped(self_ip, port + 3)));
  local(own);
}

static void connected_here(struct in_addr where) {
  int listener = tcp(0), client = tcp(0);
  struct sockaddr_storage from = {0}, own = {0};
  socklen_t size = sizeof from, own_size = sizeof own;
  binds(listener, at(ANY, port + 1));
  listen(listener, 4);
  connects(client, at(where, port + 1));
  local(client);
  remote(client);
  int server = accept(listener, (struct sockaddr *)&from, &size);
  getsockname(server, (struct sockaddr *)&own, &own_size);
  address("from", &from, size, v4_of(&own));
  local(server);
  remote(server);
}
static void connected_to_self(void) { connected_here(self_ip); }
static void connected_to_loopback(void) { connected_here(LOOP); }
static void connected_to_any(void) { connected_here(ANY); }

static void both_ends_agree(void) {
  int listener = tcp(0), client = tcp(0);
  struct sockaddr_in a, b;
  socklen_t a_size = sizeof a, b_size = sizeof b;
  binds(listener, at(ANY, 0));
  listen(listener, 4);
  connects(client, at(self_ip, port_of(listener)));
  int server = accept(listener, (struct sockaddr *)&a, &a_size);
  getsockname(client, (struct sockaddr *)&b, &b_size);
  say("accept: %d", !memcmp(&a, &b, sizeof a));
  getpeername(server, (struct sockaddr *)&a, &a_size);
  say("server's peer: %d", !memcmp(&a, &b, sizeof a));
  getsockname(server, (struct sockaddr *)&a, &a_size);
  getpeername(client, (struct sockaddr *)&b, &b_size);
  say("client's peer: %d", !memcmp(&a, &b, sizeof a));
}

static void over_v6_loopback(void) {
  struct sockaddr_in6 to = {
      .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)(port + 1)), .sin6_addr = in6addr_loopback};
  int listener = tcp6(0), client = tcp6(0);
  struct sockaddr_storage from = {0};
  socklen_t size = sizeof from;
  result("bind", raw_bind6(listener, to));
  listen(listener, 4);
  result("connect", raw_connect6(client, to));
  local(client);
  remote(client);
  int server = accept(listener, (struct sockaddr *)&from, &size);
  address("from", &from, size, ANY);
  local(server);
  remote(server);
}

static void v4_client_of_v6(void) {
  struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)(port + 1))};
  int listener = tcp6(0), client = tcp(0);
  struct sockaddr_storage from = {0}, own = {0};
  socklen_t size = sizeof from, own_size = sizeof own;
  result("bind", raw_bind6(listener, any));
  listen(listener, 4);
  connects(client, at(LOOP, port + 1));
  remote(client);
  int server = accept(listener, (struct sockaddr *)&from, &size);
  getsockname(server, (struct sockaddr *)&own, &own_size);
  address("from", &from, size, v4_of(&own));
  local(server);
}

static void after_the_peer_closed(void) {
  int fd = tcp(0);
  connects(fd, SERVER);
  shutdown(fd, SHUT_WR);
  reads(fd);
  sleep_ms(50);
  remote(fd);
}

static void after_shutdown(void) {
  int fd = tcp(0);
  connects(fd, SERVER);
  shutdown(fd, SHUT_RDWR);
  reads(fd);
  sleep_ms(50);
  remote(fd);
}

static void short_buffers(void) {
  int fd = tcp(0);
  connects(fd, SERVER);
  for (socklen_t given = 0; given <= 16; given += 4) {
    unsigned char name_buffer[20];
    socklen_t size = given;
    memset(name_buffer, 0xee, sizeof name_buffer);
    int got = getpeername(fd, (struct sockaddr *)name_buffer, &size);
    say("%u: %d %u untouched %d", given, got, size, name_buffer[given] == 0xee);
  }
}

static void bad_arguments(void) {
  int fd = tcp(0);
  struct sockaddr_in at_it;
  socklen_t size = (socklen_t)-1;
  result("negative", getsockname(fd, (struct sockaddr *)&at_it, &size));
  result("no descriptor", getsockname(-1, (struct sockaddr *)&at_it, &size));
  size = sizeof at_it;
  result("file", getsockname(open("/dev/null", O_RDWR), (struct sockaddr *)&at_it, &size));
  result("no descriptor", getpeername(-1, (struct sockaddr *)&at_it, &size));
  result("no size", getsockname(fd, (struct sockaddr *)&at_it, 0));
}

static void unix_sockets(void) {
  int pair[2];
  NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  local(pair[0]);
  remote(pair[0]);
  struct sockaddr_un at_path = {.sun_family = AF_UNIX};
  snprintf(at_path.sun_path + 1, 60, "imaginary-%d", (int)getpid());
  int listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
  socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(at_path.sun_path + 1));
  result("bind", bind(listener, (struct sockaddr *)&at_path, size));
  result("listen", listen(listener, 2));
  result("connect", connect(client, (struct sockaddr *)&at_path, size));
  struct sockaddr_un from;
  socklen_t from_size = sizeof from;
  result("accept", accept(listener, (struct sockaddr *)&from, &from_size));
  say("family %d size %u", from.sun_family, from_size);
}

static void udp_to_loopback(void) {
  int a = socket(AF_INET, SOCK_DGRAM, 0), b = socket(AF_INET, SOCK_DGRAM, 0);
  char text[8];
  binds(a, at(LOOP, port + 1));
  local(a);
  binds(b, at(LOOP, port + 2));
  connects(b, at(LOOP, port + 1));
  remote(b);
  count("send", (int)send(b, "x", 1, 0));
  count("recv", (int)recv(a, text, sizeof text, 0));
  disconnects(b);
  remote(b);
}

static void udp_at_another_loopback(void) {
  struct in_addr other = {htonl(0x7f00000a)}, third = {htonl(0x7f000101)};
  int a = socket(AF_INET, SOCK_DGRAM, 0), b = socket(AF_INET, SOCK_DGRAM, 0), c = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in from;
  socklen_t size = sizeof from;
  char text[8];
  binds(a, at(other, port + 1));
  binds(c, at(third, port + 1));
  local(a);
  binds(b, at(LOOP, port + 2));
  connects(b, at(other, port + 1));
  remote(b);
  count("send", (int)send(b, "x", 1, 0));
  count("recvfrom", (int)recvfrom(a, text, sizeof text, 0, (struct sockaddr *)&from, &size));
  count("sendto", (int)sendto(a, "y", 1, 0, (struct sockaddr *)&from, size));
  count("recv", (int)recv(b, text, sizeof text, 0));
  disconnects(b);
  from = at(other, port + 1);
  count("sendto", (int)sendto(b, "z", 1, 0, (struct sockaddr *)&from, sizeof from));
  count("recv", (int)recv(a, text, sizeof text, 0));
  from = at(LOOP, port + 2);
  count("sendto", (int)sendto(a, "y", 1, 0, (struct sockaddr *)&from, sizeof from));
  count("recvfrom", (int)recvfrom(b, text, sizeof text, 0, (struct sockaddr *)&from, &size));
  say("%s %d", inet_ntoa(from.sin_addr), ntohs(from.sin_port) - port);
}

static void passed_connection(void) {
  int fd = tcp(0), pair[2];
  connects(fd, SERVER);
  NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  pid_t child = fork();
  if (child == 0) {
    local(fd);
    remote(fd);
    ping(fd);
    _exit(0);
  }
  child_ends(child);
  int copy = dup(fd);
  close(fd);
  remote(copy);
  ping(copy);
}

static void outside(void) {
  int listener = tcp(0), client = tcp(0);
  /* An address of the machine that is nobody's in the cluster. */
  binds(listener, at(ip("127.9.8.7"), port + 1));
  local(listener);
  listen(listener, 2);
  connects(client, at(ip("127.9.8.7"), port + 1));
  remote(client);
  int server = accept(listener, 0, 0);
  local(server);
}

static void accepted_socket_options(void) {
  int listener = tcp(0), client = tcp(0);
  set_option(listener, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(listener, SOL_SOCKET, SO_KEEPALIVE, 1);
  binds(listener, at(ANY, port + 1));
  listen(listener, 4);
  connects(client, at(self_ip, port + 1));
  int server = accept(listener, 0, 0);
  say("%d %d %d %d", get_option(server, IPPROTO_TCP, TCP_NODELAY), get_option(server, SOL_SOCKET, SO_KEEPALIVE),
      get_option(server, SOL_SOCKET, SO_DOMAIN), get_option(server, SOL_SOCKET, SO_ACCEPTCONN));
}

static const struct one cases[] = {
    {"new", fresh},
    {"new, IPv6", fresh_v6},
    {"bound", bound},
    {"bound, IPv6", bound_v6},
    {"connected to the host itself", connected_to_self},
    {"connected to loopback", connected_to_loopback},
    {"connected to the wildcard", connected_to_any},
    {"both ends agree", both_ends_agree},
    {"IPv6 loopback", over_v6_loopback},
    {"an IPv4 client of an IPv6 listener", v4_client_of_v6},
    {"when the peer has closed", after_the_peer_closed},
    {"after shutdown", after_shutdown},
    {"short buffers", short_buffers},
    {"bad arguments", bad_arguments},
    {"Unix sockets", unix_sockets},
    {"UDP over loopback", udp_to_loopback},
    {"UDP at another loopback address", udp_at_another_loopback},
    {"a connection in a child, and duplicated", passed_connection},
    {"outside of the cluster", outside},
    {"options of an accepted socket", accepted_socket_options},
};

MAIN(cases)
