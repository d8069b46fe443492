/* The active side, at a host that is up (also as one that the supervisor has to be asked for). */
#include "differential.h"

static void blocking(void) {
  int fd = tcp(0);
  connects(fd, SERVER);
  local(fd);
  remote(fd);
  so_error(fd);
  ping(fd);
}

static void blocking_twice(void) {
  int fd = tcp(0);
  connects(fd, SERVER);
  connects(fd, SERVER);
  connects(fd, at(LOOP, port));
  ping(fd);
}

static void nonblocking(void) {
  int fd = tcp(SOCK_NONBLOCK);
  int value = raw_connect(fd, SERVER);
  say("connect: %s", value == 0 || errno == EINPROGRESS ? "under way" : error_name(errno));
  until(fd);
  so_error(fd);
  local(fd);
  remote(fd);
  ping(fd);
}

static void nonblocking_again(void) {
  int fd = tcp(SOCK_NONBLOCK);
  raw_connect(fd, SERVER);
  until(fd);
  /* Linux says success once where the first call has not said it. */
  int value = raw_connect(fd, SERVER);
  say("connect: %s", value == 0 || errno == EISCONN ? "connected" : error_name(errno));
  connects(fd, SERVER);
}

static void refused(void) {
  int fd = tcp(0);
  connects(fd, at(peer_ip, port + 1));
  so_error(fd);
  remote(fd);
  polls(fd, POLLIN | POLLOUT, QUIET_MS);
}

static void refused_nonblocking(void) {
  int fd = tcp(SOCK_NONBLOCK);
  raw_connect(fd, at(peer_ip, port + 1));
  polls(fd, POLLIN | POLLOUT, LIMIT_MS);
  so_error(fd);
  so_error(fd);
  remote(fd);
}

static void refused_then_connected(void) {
  int fd = tcp(0);
  connects(fd, at(peer_ip, port + 1));
  connects(fd, SERVER);
  remote(fd);
  ping(fd);
}

static void refused_nonblocking_told_by_connect(void) {
  int fd = tcp(SOCK_NONBLOCK);
  raw_connect(fd, at(peer_ip, port + 1));
  polls(fd, POLLOUT, LIMIT_MS);
  connects(fd, SERVER);
  so_error(fd);
}

static void refused_told_by_write(void) {
  int fd = tcp(SOCK_NONBLOCK);
  raw_connect(fd, at(peer_ip, port + 1));
  polls(fd, POLLOUT, LIMIT_MS);
  count("send", (int)send(fd, "x", 1, MSG_NOSIGNAL));
  count("send", (int)send(fd, "x", 1, MSG_NOSIGNAL));
  so_error(fd);
}

static void refused_told_by_read(void) {
  int fd = tcp(SOCK_NONBLOCK);
  raw_connect(fd, at(peer_ip, port + 1));
  polls(fd, POLLOUT, LIMIT_MS);
  reads(fd);
  reads(fd);
}

static void flags_of_socket(void) {
  int fd = tcp(SOCK_NONBLOCK | SOCK_CLOEXEC);
  raw_connect(fd, SERVER);
  until(fd);
  say("cloexec %d nonblock %d", fcntl(fd, F_GETFD) == FD_CLOEXEC, !!(fcntl(fd, F_GETFL) & O_NONBLOCK));
  int plain = tcp(0);
  connects(plain, SERVER);
  say("cloexec %d nonblock %d", fcntl(plain, F_GETFD) == FD_CLOEXEC, !!(fcntl(plain, F_GETFL) & O_NONBLOCK));
}

static void bad_arguments(void) {
  struct sockaddr_in to = SERVER;
  int fd = tcp(0), file = open("/dev/null", O_RDWR), pair[2];
  connects(-1, to);
  connects(file, to);
  NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  result("short", connect(fd, (struct sockaddr *)&to, 8));
  result("short", connect(fd, (struct sockaddr *)&to, 1));
  result("none", connect(fd, 0, sizeof to));
  result("unix socket", connect(pair[0], (struct sockaddr *)&to, sizeof to));
  to.sin_family = 77;
  result("family", connect(fd, (struct sockaddr *)&to, sizeof to));
  result("closed", close(fd));
  connects(fd, SERVER);
}

static void to_a_listener(void) {
  int fd = tcp(0);
  binds(fd, at(self_ip, port + 8));
  result("listen", listen(fd, 1));
  connects(fd, SERVER);
}

static void shut_down(void) {
  int fd = tcp(0);
  connects(fd, SERVER);
  result("shutdown", shutdown(fd, SHUT_WR));
  reads(fd);
  connects(fd, SERVER);
  result("shutdown", shutdown(fd, SHUT_RD));
  polls(fd, POLLIN | POLLOUT, LIMIT_MS);
}

static void shut_down_unconnected(void) {
  int fd = tcp(0);
  result("shutdown", shutdown(fd, SHUT_RDWR));
  connects(fd, SERVER);
}

static void reset_by_linger(void) {
  struct linger now = {1, 0};
  int fd = tcp(0);
  connects(fd, SERVER);
  result("linger", setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now));
  ping(fd);
  result("close", close(fd));
}

static void options_stay(void) {
  int fd = tcp(0);
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(fd, IPPROTO_IP, IP_TOS, 16);
  set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 77);
  connects(fd, SERVER);
  say("%d %d %d %d", get_option(fd, IPPROTO_TCP, TCP_NODELAY), get_option(fd, SOL_SOCKET, SO_KEEPALIVE),
      get_option(fd, IPPROTO_IP, IP_TOS), get_option(fd, IPPROTO_TCP, TCP_KEEPIDLE));
}

static void options_all(void) {
  int fd = tcp(0);
  set_options(fd);
  connects(fd, SERVER);
  tell_options(fd, true);
}

static void multipath(int flags) {
  int fd = socket(AF_INET, SOCK_STREAM | flags, 262 /* IPPROTO_MPTCP */);
  if (result("socket", fd) < 0) return;
  result("connect", raw_connect(fd, SERVER));
  until(fd);
  remote(fd);
  ping(fd);
}

static void multipath_blocking(void) { multipath(0); }
static void multipath_nonblocking(void) { multipath(SOCK_NONBLOCK); }

static void options_none(void) {
  int fd = tcp(0);
  connects(fd, SERVER);
  tell_options(fd, false);
  int other = tcp(SOCK_NONBLOCK);
  connects(other, SERVER);
  until(other);
  tell_options(other, false);
}

static void duplicate_made_before(void) {
  int fd = tcp(0), copy = dup(fd);
  connects(fd, SERVER);
  ping(fd);
  remote(copy);
  ping(copy);
}

/* With the lowest number that is free, and none is left open. */
static void numbers(void) {
  int first = dup(0), fd = tcp(0);
  for (int i = 0; i < 3; i++) {
    connects(fd, SERVER);
    ping(fd);
    close(fd);
    fd = tcp(i == 1 ? SOCK_NONBLOCK : 0);
    say("descriptor %d", fd - first);
  }
}

static void socket_says_what_it_is(void) {
  int fd = tcp(0);
  connects(fd, SERVER);
  say("%d %d %d %d", get_option(fd, SOL_SOCKET, SO_DOMAIN), get_option(fd, SOL_SOCKET, SO_TYPE),
      get_option(fd, SOL_SOCKET, SO_PROTOCOL), get_option(fd, SOL_SOCKET, SO_ACCEPTCONN));
}

static void poll_unconnected(void) {
  int fd = tcp(SOCK_NONBLOCK);
  polls(fd, POLLIN | POLLOUT, QUIET_MS);
  raw_connect(fd, SERVER);
  until(fd);
  ping(fd);
}

static void select_after(void) {
  int fd = tcp(SOCK_NONBLOCK);
  struct timeval limit = {10, 0};
  fd_set readable, writable;
  raw_connect(fd, SERVER);
  FD_ZERO(&readable);
  FD_ZERO(&writable);
  FD_SET(fd, &readable);
  FD_SET(fd, &writable);
  count("select", select(fd + 1, &readable, &writable, 0, &limit));
  say("readable %d writable %d", FD_ISSET(fd, &readable), FD_ISSET(fd, &writable));
}

static void epoll_before(uint32_t flags) {
  int fd = tcp(SOCK_NONBLOCK), set = epoll_with(fd, EPOLLIN | EPOLLOUT | flags);
  epolls(set, QUIET_MS);
  raw_connect(fd, SERVER);
  if (flags & EPOLLONESHOT) epoll_mod(set, fd, EPOLLIN | EPOLLOUT | flags);
  until(fd);
  epolls(set, LIMIT_MS);
  ping(fd);
}
static void epoll_level_before(void) { epoll_before(0); }
static void epoll_edge_before(void) { epoll_before(EPOLLET); }
static void epoll_oneshot_before(void) { epoll_before(EPOLLONESHOT); }

static void epoll_refused(void) {
  int fd = tcp(SOCK_NONBLOCK), set = epoll_with(fd, EPOLLIN | EPOLLOUT | EPOLLET);
  epolls(set, QUIET_MS);
  raw_connect(fd, at(peer_ip, port + 1));
  polls(fd, POLLIN, LIMIT_MS);
  epolls(set, LIMIT_MS);
  so_error(fd);
}

static void many_at_once(void) {
  int fds[50], connected = 0;
  for (int i = 0; i < 50; i++) raw_connect(fds[i] = tcp(SOCK_NONBLOCK), SERVER);
  for (int i = 0; i < 50; i++) {
    struct pollfd wanted = {.fd = fds[i], .events = POLLOUT};
    connected += poll(&wanted, 1, LIMIT_MS) == 1 && get_option(fds[i], SOL_SOCKET, SO_ERROR) == 0;
  }
  say("%d", connected);
  ping(fds[49]);
}

static void errno_is_left_alone(void) {
  int fd = tcp(0);
  errno = 1234;
  int value = raw_connect(fd, SERVER);
  say("%d %d", value, errno);
  struct sockaddr_in self;
  socklen_t size = sizeof self;
  value = getsockname(fd, (struct sockaddr *)&self, &size) | getpeername(fd, (struct sockaddr *)&self, &size);
  say("%d %d", value, errno);
}

static void fast_open(void) {
  int fd = tcp(0);
  set_option(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 0);
  connects(fd, SERVER);
  ping(fd);
}

static const struct one cases[] = {
    {"blocking", blocking},
    {"blocking, again when connected", blocking_twice},
    {"non-blocking", nonblocking},
    {"non-blocking, again when connected", nonblocking_again},
    {"refused", refused},
    {"refused, non-blocking", refused_nonblocking},
    {"refused, then connected", refused_then_connected},
    {"refused, told by the next connect", refused_nonblocking_told_by_connect},
    {"refused, told by a write", refused_told_by_write},
    {"refused, told by a read", refused_told_by_read},
    {"SOCK_CLOEXEC and SOCK_NONBLOCK", flags_of_socket},
    {"bad arguments", bad_arguments},
    {"connect of a listener", to_a_listener},
    {"shutdown", shut_down},
    {"shutdown of what is not connected", shut_down_unconnected},
    {"SO_LINGER resets", reset_by_linger},
    {"MPTCP", multipath_blocking},
    {"MPTCP, without blocking", multipath_nonblocking},
    {"options stay", options_stay},
    {"options, all of them set", options_all},
    {"options, none of them set", options_none},
    {"descriptors", numbers},
    {"a duplicate made before", duplicate_made_before},
    {"what the socket says that it is", socket_says_what_it_is},
    {"poll before", poll_unconnected},
    {"select", select_after},
    {"epoll before, level", epoll_level_before},
    {"epoll before, edge", epoll_edge_before},
    {"epoll before, oneshot", epoll_oneshot_before},
    {"epoll before, refused", epoll_refused},
    {"50 at once", many_at_once},
    {"errno is left alone", errno_is_left_alone},
    {"TCP_FASTOPEN_CONNECT off", fast_open},
};

MAIN(cases)
