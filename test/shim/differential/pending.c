/* A host that is not up: what a guest may call while a connect waits for it. */
#include "pending.h"

static void again(void) {
  int fd = starts(0);
  connects(fd, SERVER);
  connects(fd, at(peer_ip, port + 1));
  connects(fd, at(self_ip, port + 1));
  connects(fd, at(LOOP, port + 1));
  connects(fd, at(ip("127.9.9.9"), port + 1));
  order("go");
  until(fd);
  connects(fd, SERVER);
  connects(fd, SERVER);
  ping(fd);
}

static void refused(void) {
  int fd = starts(0);
  order("refuse");
  polls(fd, POLLIN | POLLOUT, LIMIT_MS);
  so_error(fd);
  so_error(fd);
  remote(fd);
  polls(fd, POLLIN | POLLOUT, LIMIT_MS);
}

static void refused_told_by_connect(void) {
  int fd = starts(0);
  order("refuse");
  polls(fd, POLLOUT, LIMIT_MS);
  connects(fd, SERVER);
}

static void refused_told_by_send(void) {
  int fd = starts(0);
  order("refuse");
  polls(fd, POLLOUT, LIMIT_MS);
  count("send", (int)send(fd, "x", 1, MSG_NOSIGNAL));
  count("send", (int)send(fd, "x", 1, MSG_NOSIGNAL));
}

static void refused_told_by_recv(void) {
  int fd = starts(0);
  order("refuse");
  polls(fd, POLLOUT, LIMIT_MS);
  reads(fd);
  reads(fd);
}

static void expired(void) {
  order("hold");
  int fd = tcp(SOCK_NONBLOCK);
  set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 300); /* natively that is what ends it */
  connects(fd, SERVER);
  order("expire");
  polls(fd, POLLIN | POLLOUT, LIMIT_MS);
  so_error(fd);
  so_error(fd);
}

static void expired_epoll(void) {
  order("hold");
  int fd = tcp(SOCK_NONBLOCK), set = epoll_with(fd, EPOLLIN | EPOLLOUT | EPOLLET);
  set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 300);
  epolls(set, QUIET_MS);
  connects(fd, SERVER);
  order("expire");
  epolls(set, LIMIT_MS);
  so_error(fd);
}

static void other_calls(void) {
  int fd = starts(0);
  char byte;
  so_error(fd);
  remote(fd);
  result("listen", listen(fd, 1));
  binds(fd, at(self_ip, port + 1));
  result("accept", accept(fd, 0, 0));
  count("send", (int)send(fd, "x", 1, MSG_NOSIGNAL));
  count("recv", (int)recv(fd, &byte, 1, 0));
  count("peek", (int)recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT));
  say("%d %d", get_option(fd, SOL_SOCKET, SO_DOMAIN), get_option(fd, SOL_SOCKET, SO_PROTOCOL));
  order("go");
  connected(fd);
}

static void options(void) {
  int fd = starts(0);
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  say("%d %d", get_option(fd, IPPROTO_TCP, TCP_NODELAY), get_option(fd, SOL_SOCKET, SO_KEEPALIVE));
  order("go");
  until(fd);
  say("%d %d", get_option(fd, IPPROTO_TCP, TCP_NODELAY), get_option(fd, SOL_SOCKET, SO_KEEPALIVE));
}

static void descriptor_flags(void) {
  int fd = starts(SOCK_CLOEXEC);
  say("cloexec %d nonblock %d", fcntl(fd, F_GETFD) == FD_CLOEXEC, !!(fcntl(fd, F_GETFL) & O_NONBLOCK));
  fcntl(fd, F_SETFD, 0);
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
  order("go");
  until(fd);
  say("cloexec %d nonblock %d", fcntl(fd, F_GETFD) == FD_CLOEXEC, !!(fcntl(fd, F_GETFL) & O_NONBLOCK));
  ping(fd);
}

static void shut(int how) {
  int fd = starts(0);
  result("shutdown", shutdown(fd, how));
  polls(fd, POLLIN | POLLOUT | POLLRDHUP, LIMIT_MS);
  so_error(fd);
  remote(fd);
  result("shutdown", shutdown(fd, how));
  order("go");
}
static void shut_write(void) { shut(SHUT_WR); }
static void shut_both(void) { shut(SHUT_RDWR); }
static void shut_read(void) { shut(SHUT_RD); }

static void shut_then_connect(void) {
  int fd = starts(0);
  result("shutdown", shutdown(fd, SHUT_RDWR));
  order("go");
  raw_connect(fd, SERVER); /* may tell the error that is left */
  raw_connect(fd, SERVER);
  until(fd);
  so_error(fd);
  remote(fd);
}

static void disconnect(void) {
  int fd = starts(0);
  disconnects(fd);
  so_error(fd);
  remote(fd);
  polls(fd, POLLIN | POLLOUT, QUIET_MS);
  order("go");
  raw_connect(fd, SERVER);
  connected(fd);
}

static void disconnect_elsewhere(void) {
  int fd = starts(0), listener = tcp(0);
  binds(listener, at(self_ip, port + 1));
  listen(listener, 1);
  disconnects(fd);
  raw_connect(fd, at(self_ip, port + 1));
  until(fd);
  so_error(fd);
  remote(fd);
  order("go");
}

static void closed(void) {
  int fd = starts(0);
  result("close", close(fd));
  connects(fd, SERVER);
  int other = open("/dev/null", O_RDWR);
  say("same number: %d", other == fd);
  order("go");
  sleep_ms(20);
  count("write", (int)write(other, "x", 1));
}

static void closed_lingering(void) {
  struct linger long_one = {1, 5}, now = {1, 0};
  int fd = starts(0), second = tcp(SOCK_NONBLOCK);
  connects(second, SERVER);
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &long_one, sizeof long_one);
  setsockopt(second, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  result("close", close(fd));
  result("close", close(second));
  order("go");
}

static void replaced_by_dup2(void) {
  int fd = starts(0), file = open("/dev/null", O_RDWR);
  result("dup2", dup2(file, fd));
  order("go");
  sleep_ms(20);
  count("write", (int)write(fd, "x", 1));
}

static void duplicated(void) {
  int fd = starts(0), copy = dup(fd);
  connects(copy, SERVER);
  order("go");
  until(copy);
  ping(fd);
  result("close", close(fd));
  polls(copy, POLLOUT, LIMIT_MS);
}

static void moved_by_dup2(void) {
  int fd = starts(0);
  result("dup2", dup2(fd, 90));
  result("close", close(fd));
  quiet(90, POLLOUT);
  order("go");
  until(90);
  for (int i = 0; i < 200 && get_option(90, SOL_SOCKET, SO_DOMAIN) != AF_INET; i++) sleep_ms(10);
  ping(90);
}

static void dup_refused(void) {
  int fd = starts(0), copy = dup(fd);
  order("refuse");
  until(copy);
  so_error(copy);
  so_error(fd);
}

static void dup_by_fcntl(void) {
  int fd = starts(0), copy = fcntl(fd, F_DUPFD_CLOEXEC, 50);
  connects(copy, SERVER);
  order("go");
  until(copy);
  result("close", close(fd));
  ping(copy);
}

static void reuse_of_the_number(void) {
  int fd = starts(0);
  close(fd);
  order("go");
  int again_fd = tcp(SOCK_NONBLOCK);
  say("same number: %d", again_fd == fd);
  polls(again_fd, POLLOUT, QUIET_MS);
  raw_connect(again_fd, SERVER);
  connected(again_fd);
}

static const struct one cases[] = {
    {"again: EALREADY, then success, then EISCONN", again},
    {"refused", refused},
    {"refused, told by connect", refused_told_by_connect},
    {"refused, told by send", refused_told_by_send},
    {"refused, told by recv", refused_told_by_recv},
    {"timed out", expired},
    {"timed out, epoll", expired_epoll},
    {"other calls", other_calls},
    {"options", options},
    {"descriptor flags", descriptor_flags},
    {"shutdown for writing", shut_write},
    {"shutdown", shut_both},
    {"shutdown for reading", shut_read},
    {"shutdown, then connect", shut_then_connect},
    {"AF_UNSPEC, then connect", disconnect},
    {"AF_UNSPEC, then connect elsewhere", disconnect_elsewhere},
    {"close", closed},
    {"close with SO_LINGER", closed_lingering},
    {"replaced by dup2", replaced_by_dup2},
    {"dup", duplicated},
    {"moved by dup2", moved_by_dup2},
    {"dup, refused", dup_refused},
    {"dup by fcntl", dup_by_fcntl},
    {"the number is used again", reuse_of_the_number},
};

MAIN(cases)
