/* sixes HOST PORT OWN: IPv6 sockets, with IPv4 behind them. HOST:PORT listens and is reachable; OWN is our address. */
#include "case.h"

static struct sockaddr_in6 six(const char *ip, int port) {
  struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
  CHECK(inet_pton(AF_INET6, ip, &address.sin6_addr) == 1);
  return address;
}

static int socket6(int only) {
  int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int on = 1;
  CHECK(fd >= 0 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only) == 0);
  CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0);
  return fd;
}

static bool is(int fd, int (*call)(int, struct sockaddr *, socklen_t *), const char *ip, int port) {
  struct sockaddr_in6 name = {0}, wanted = six(ip, port);
  socklen_t size = sizeof name;
  char text[64];
  CHECK(call(fd, (struct sockaddr *)&name, &size) == 0 && size == sizeof name && name.sin6_family == AF_INET6);
  bool equal = !memcmp(&name.sin6_addr, &wanted.sin6_addr, 16) && (!port || name.sin6_port == wanted.sin6_port);
  if (!equal)
    fprintf(stderr, "[%s]:%d is not [%s]:%d\n", inet_ntop(AF_INET6, &name.sin6_addr, text, sizeof text),
            ntohs(name.sin6_port), ip, port);
  return equal;
}

static int listener6(const char *ip, int port, int only) {
  int fd = socket6(only);
  struct sockaddr_in6 address = six(ip, port);
  CHECK(bind(fd, (struct sockaddr *)&address, sizeof address) == 0, "[%s]:%d", ip, port);
  CHECK(listen(fd, 16) == 0);
  return fd;
}

static int client6(const char *ip, int port) {
  int fd = socket6(0);
  struct sockaddr_in6 address = six(ip, port);
  return connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ? fd : -1;
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  char mapped[64], own[64];
  struct sockaddr_in to = resolve(argv[1], atoi(argv[2]));
  snprintf(mapped, sizeof mapped, "::ffff:%s", inet_ntoa(to.sin_addr));
  snprintf(own, sizeof own, "::ffff:%s", argv[3]);
  int fd = client6(mapped, atoi(argv[2]));
  CHECK(fd >= 0);
  CHECK(is(fd, getpeername, mapped, atoi(argv[2])) && is(fd, getsockname, own, 0));
  ping(fd);

  int dual = listener6("::", 6300, 0), low = listener6("::", 630, 0);
  CHECK(is(dual, getsockname, "::", 6300) && is(low, getsockname, "::", 630));
  int four = tcp(0);
  CHECK(connect_to(four, at("127.0.0.1", 6300)) == 0);
  int accepted = accept(dual, 0, 0);
  CHECK(accepted >= 0 && is(accepted, getpeername, "::ffff:127.0.0.1", 0));
  CHECK(is(accepted, getsockname, "::ffff:127.0.0.1", 6300));
  int loop = client6("::1", 630);
  CHECK(loop >= 0 && is(loop, getpeername, "::1", 630) && is(loop, getsockname, "::1", 0));
  int self = client6(own, 6300);
  struct sockaddr_in6 from = {0};
  socklen_t size = sizeof from;
  accepted = accept4(dual, (struct sockaddr *)&from, &size, SOCK_CLOEXEC);
  CHECK(self >= 0 && accepted >= 0 && size == sizeof from && is(accepted, getpeername, own, 0));
  CHECK(is(self, getsockname, own, ntohs(from.sin6_port)));

  /* Both loopbacks on one port, as redis does; and IPv6 alone, as nginx does. */
  int loop4 = tcp(0), on = 1;
  setsockopt(loop4, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  CHECK(bind_to(loop4, at("127.0.0.1", 6301)) == 0 && listen(loop4, 1) == 0);
  int loop6 = listener6("::1", 6301, 1), only = listener6("::", 6302, 1);
  CHECK(is(loop6, getsockname, "::1", 6301) && is(only, getsockname, "::", 6302));
  int six1 = client6("::1", 6301), six2 = client6("::", 6302);
  CHECK(six1 >= 0 && is(six1, getpeername, "::1", 6301) && is(six1, getsockname, "::1", 0));
  CHECK(six2 >= 0 && is(six2, getpeername, "::1", 6302));
  accepted = accept4(loop6, (struct sockaddr *)&from, &size, SOCK_CLOEXEC);
  CHECK(accepted >= 0 && is(accepted, getsockname, "::1", 6301));
  CHECK(is(six1, getsockname, "::1", ntohs(from.sin6_port)) && is(accepted, getpeername, "::1", ntohs(from.sin6_port)));
  int low6 = listener6("::1", 631, 1);
  CHECK(is(low6, getsockname, "::1", 631));
  six2 = client6("::1", 631);
  accepted = accept(low6, 0, 0);
  CHECK(six2 >= 0 && accepted >= 0 && is(six2, getpeername, "::1", 631) && is(accepted, getsockname, "::1", 631));
  CHECK(client6("::ffff:127.0.0.1", 6302) == -1 && errno == ECONNREFUSED);
  int both = listener6("::1", 6303, 0);
  CHECK(is(both, getsockname, "::1", 6303));
  int both4 = tcp(0);
  setsockopt(both4, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  struct sockaddr_in any6303 = at("127.0.0.1", 6304);
  CHECK(bind(both4, (struct sockaddr *)&any6303, sizeof any6303) == 0 && listen(both4, 1) == 0);
  int both6 = listener6("::1", 6304, 0);
  CHECK(is(both6, getsockname, "::1", 6304));
  say("ok");
  return 0;
}
