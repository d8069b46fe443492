/* pending_calls HOST PORT: what else may be called on a descriptor whose connect is pending. */
#include "case.h"

static int option(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  CHECK(getsockopt(fd, level, name, &value, &size) == 0);
  return value;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  struct sockaddr_in to = resolve(argv[1], atoi(argv[2])), name;
  socklen_t size = sizeof name;
  char byte;
  int on = 1, big = 100000;
  int descriptors = open_descriptors();
  int fd = connecting(to), before = dup(fd);
  /* A guest may set options at any time; they are the socket's, not the placeholder's. */
  CHECK(connect_to(fd, to) == -1 && errno == EALREADY);
  CHECK(getpeername(fd, (struct sockaddr *)&name, &size) == -1 && errno == ENOTCONN);
  CHECK(name_of(fd, getsockname).sin_port == 0);
  CHECK(so_error(fd) == 0);
  CHECK(send(fd, "x", 1, MSG_NOSIGNAL) == -1 && errno == EAGAIN);
  CHECK(recv(fd, &byte, 1, 0) == -1 && errno == EAGAIN);
  CHECK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
  CHECK(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) == 0);
  CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &big, sizeof big) == 0);
  CHECK(option(fd, IPPROTO_TCP, TCP_NODELAY) == 1 && option(fd, SOL_SOCKET, SO_TYPE) == SOCK_STREAM);
  CHECK(option(fd, SOL_SOCKET, SO_DOMAIN) == AF_INET && option(fd, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_TCP);
  CHECK(fcntl(fd, F_SETFD, FD_CLOEXEC) == 0);
  CHECK(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) == 0);
  struct pollfd wanted = {.fd = fd, .events = POLLIN | POLLOUT};
  CHECK(poll(&wanted, 1, 50) == 0, "%x", wanted.revents);
  say("pending");
  wait_for(fd, POLLOUT);
  CHECK(so_error(fd) == 0 && same(name_of(fd, getpeername), to));
  CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC && !(fcntl(fd, F_GETFL) & O_NONBLOCK));
  CHECK(option(fd, IPPROTO_TCP, TCP_NODELAY) == 1 && option(fd, SOL_SOCKET, SO_KEEPALIVE) == 1);
  CHECK(option(fd, SOL_SOCKET, SO_SNDBUF) == 2 * big);
  int again = connect_to(fd, to);
  CHECK(again == 0 || errno == EISCONN); /* Linux tells once, then EISCONN */
  CHECK(connect_to(fd, to) == -1 && errno == EISCONN);
  ping(fd);
  /* The duplicate that was made while it was pending is the same connection. */
  wait_for(before, POLLOUT);
  for (double end = now_ms() + 5000; option(before, SOL_SOCKET, SO_DOMAIN) != AF_INET && now_ms() < end;) usleep(1000);
  ping(before);
  close(fd);
  ping(before);
  close(before);
  wait_until_quiet(descriptors, 1);
  say("ok");
  return 0;
}
