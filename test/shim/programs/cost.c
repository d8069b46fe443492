/*
 * cost: what calls cost that are none of the shim's business, and connects that are. Prints `NAME NANOSECONDS` lines,
 * the median of many short runs. `cost HOST PORT` also connects there.
 */
#include "case.h"
#include <sys/ioctl.h>
#include <sys/syscall.h>

#define RUNS 41

static int by_value(const void *a, const void *b) {
  double left = *(const double *)a, right = *(const double *)b;
  return left < right ? -1 : left > right;
}

#define MEASURE(name, each, body) \
  do { \
    double results[RUNS]; \
    for (int run = 0; run < RUNS; run++) { \
      double start = now_ms(); \
      for (int i = 0; i < (each); i++) { \
        body; \
      } \
      results[run] = (now_ms() - start) * 1e6 / (each); \
    } \
    qsort(results, RUNS, sizeof results[0], by_value); \
    printf("%s %.0f\n", name, results[RUNS / 2]); \
  } while (0)

int main(int argc, char **argv) {
  int pair[2], set = epoll_create1(0), udp = socket(AF_INET, SOCK_DGRAM, 0), null = open("/dev/null", O_RDWR);
  struct sockaddr_storage name;
  struct stat status;
  struct sockaddr_in loop = at("127.1.2.3", 0);
  socklen_t size;
  char host[64];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  struct epoll_event event = {.events = EPOLLIN};
  MEASURE("close", 2000, CHECK(close(dup(null)) == 0));
  MEASURE("shutdown", 2000, shutdown(null, SHUT_RD));
  MEASURE("dup2", 2000, CHECK(dup2(null, 100) == 100));
  MEASURE("getsockopt", 2000, CHECK(so_error(pair[0]) == 0));
  int on = 1;
  MEASURE("setsockopt", 2000, setsockopt(pair[0], SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on));
  MEASURE("epoll_ctl pipe", 2000,
          (epoll_ctl(set, EPOLL_CTL_ADD, pair[0], &event), epoll_ctl(set, EPOLL_CTL_DEL, pair[0], 0)));
  MEASURE("epoll_ctl modify", 2000, epoll_ctl(set, EPOLL_CTL_MOD, pair[1], &event));
  MEASURE("getsockname unix", 2000, (size = sizeof name, getsockname(pair[0], (struct sockaddr *)&name, &size)));
  MEASURE("connect udp", 2000, connect_to(udp, loop));
  MEASURE("open", 2000, close(open("/dev/null", O_RDONLY)));
  MEASURE("open below /etc", 2000, close(open("/etc/passwd", O_RDONLY)));
  MEASURE("stat", 2000, stat("/usr/lib/os-release", &status));
  MEASURE("stat of nothing", 2000,
          stat("/usr/local/lib/python3.11/dist-packages/some/package/of/many/parts/__init__.py", &status));
  MEASURE("access relative", 2000, access("some/where/below", F_OK));
  MEASURE("ioctl", 2000, ioctl(pair[0], FIONREAD, &status));
  MEASURE("syscall", 2000, syscall(SYS_getppid));
  struct sockaddr_in sink = at("127.1.2.3", 0), from;
  int receiver = socket(AF_INET, SOCK_DGRAM, 0);
  bind_past_shim(receiver, sink);
  sink = name_of(receiver, getsockname);
  MEASURE("sendto and recvfrom udp", 500, {
    size = sizeof from;
    CHECK(sendto(udp, "x", 1, 0, (struct sockaddr *)&sink, sizeof sink) == 1);
    CHECK(recvfrom(receiver, host, sizeof host, 0, (struct sockaddr *)&from, &size) == 1);
  });
  MEASURE("send unix", 500, CHECK(send(pair[0], "x", 1, 0) == 1 && recv(pair[1], host, 1, 0) == 1));
  /* Ready, so that none of them waits. */
  struct pollfd ready = {.fd = pair[0], .events = POLLOUT};
  int writable = epoll_create1(0);
  event.events = EPOLLOUT;
  CHECK(epoll_ctl(writable, EPOLL_CTL_ADD, pair[0], &event) == 0);
  MEASURE("poll", 2000, CHECK(poll(&ready, 1, -1) == 1));
  MEASURE("poll with a time limit", 2000, CHECK(poll(&ready, 1, 1000) == 1));
  MEASURE("epoll_wait", 2000, CHECK(epoll_wait(writable, &event, 1, -1) == 1));
  MEASURE("epoll_wait with a time limit", 2000, CHECK(epoll_wait(writable, &event, 1, 1000) == 1));
  MEASURE("gethostname", 2000, gethostname(host, sizeof host));

  /* A TCP connection that is not of the cluster. */
  int listener = tcp(0);
  bind_past_shim(listener, loop);
  CHECK(past_shim(SYS_listen, listener, 100, 0) == 0);
  struct sockaddr_in there = name_of(listener, getsockname);
  int client = tcp(0);
  CHECK(connect_to(client, there) == 0);
  int server = accept(listener, 0, 0);
  MEASURE("epoll_ctl tcp", 2000,
          (epoll_ctl(set, EPOLL_CTL_ADD, server, &event), epoll_ctl(set, EPOLL_CTL_DEL, server, 0)));
  MEASURE("getsockname tcp", 2000, (size = sizeof name, getsockname(server, (struct sockaddr *)&name, &size)));
  MEASURE("getpeername tcp", 2000, (size = sizeof name, getpeername(server, (struct sockaddr *)&name, &size)));
  MEASURE("connect isconn", 2000, connect_to(client, there));
  MEASURE("connect refused", 100, {
    int fd = tcp(0);
    CHECK(connect_to(fd, at("127.1.2.3", 1)) == -1 && errno == ECONNREFUSED);
    close(fd);
  });
  MEASURE("connect and accept", 100, {
    int fd = tcp(0);
    CHECK(connect_to(fd, there) == 0);
    size = sizeof name;
    close(accept(listener, (struct sockaddr *)&name, &size));
    close(fd);
  });
  if (argc == 3) {
    struct sockaddr_in to = resolve(argv[1], atoi(argv[2]));
    MEASURE("lookup", 500, resolve(argv[1], 80));
    MEASURE("connect to host", 100, {
      int fd = tcp(0);
      CHECK(connect_to(fd, to) == 0);
      close(fd);
    });
    MEASURE("connect to host, first byte", 100, {
      int fd = tcp(0);
      CHECK(connect_to(fd, to) == 0);
      ping(fd);
      close(fd);
    });
    int fd = tcp(0);
    CHECK(connect_to(fd, to) == 0);
    MEASURE("getpeername host", 2000, (size = sizeof name, getpeername(fd, (struct sockaddr *)&name, &size)));
    MEASURE("getsockname host", 2000, (size = sizeof name, getsockname(fd, (struct sockaddr *)&name, &size)));
  }
  return 0;
}
