/* A host that is not up: all the ways to wait for it. */
#include "pending.h"

static void poll_after(void) {
  int fd = starts(0);
  quiet(fd, POLLIN | POLLOUT | POLLRDHUP);
  order("go");
  polls(fd, POLLIN | POLLOUT | POLLRDHUP, LIMIT_MS);
  connected(fd);
  local(fd);
}

static void interrupted_non_blocking(void) {
  int fd = starts(0);
  struct pollfd wanted = {.fd = fd, .events = POLLOUT};
  alarm_with(SA_RESTART);
  count("poll", poll(&wanted, 1, LIMIT_MS));
  order("go");
  connected(fd);
}

static void epoll_after(uint32_t flags) {
  int fd = starts(0), set = epoll_with(fd, EPOLLIN | EPOLLOUT | flags);
  epolls(set, QUIET_MS);
  order("go");
  epolls(set, LIMIT_MS);
  epolls(set, QUIET_MS);
  if (flags & EPOLLONESHOT) {
    epoll_mod(set, fd, EPOLLOUT | flags);
    epolls(set, LIMIT_MS);
  }
  ping(fd);
}
static void epoll_level(void) { epoll_after(0); }
static void epoll_edge(void) { epoll_after(EPOLLET); }
static void epoll_oneshot(void) { epoll_after(EPOLLONESHOT); }
static void epoll_edge_rdhup(void) { epoll_after(EPOLLET | EPOLLRDHUP); }

static void epoll_before(uint32_t flags) {
  order("hold");
  int fd = tcp(SOCK_NONBLOCK), set = epoll_with(fd, EPOLLIN | EPOLLOUT | flags);
  epolls(set, QUIET_MS);
  connects(fd, SERVER);
  if (flags & EPOLLONESHOT) epoll_mod(set, fd, EPOLLIN | EPOLLOUT | flags);
  epolls(set, QUIET_MS);
  order("go");
  epolls(set, LIMIT_MS);
  epolls(set, QUIET_MS);
  epoll_mod(set, fd, EPOLLIN | flags);
  epolls(set, QUIET_MS);
  result("epoll_ctl DEL", epoll_ctl(set, EPOLL_CTL_DEL, fd, 0));
  result("epoll_ctl DEL", epoll_ctl(set, EPOLL_CTL_DEL, fd, 0));
  ping(fd);
}
static void epoll_level_before(void) { epoll_before(0); }
static void epoll_edge_before(void) { epoll_before(EPOLLET); }
static void epoll_oneshot_before(void) { epoll_before(EPOLLONESHOT); }

static void epoll_sets(void) {
  order("hold");
  int fd = tcp(SOCK_NONBLOCK), first = epoll_with(fd, EPOLLOUT), second = epoll_with(fd, EPOLLOUT | EPOLLET);
  epolls(first, QUIET_MS);
  epolls(second, QUIET_MS);
  connects(fd, SERVER);
  int third = epoll_with(fd, EPOLLIN | EPOLLOUT | EPOLLET);
  epolls(first, QUIET_MS);
  epolls(second, QUIET_MS);
  epolls(third, QUIET_MS);
  order("go");
  epolls(first, LIMIT_MS);
  epolls(second, LIMIT_MS);
  epolls(third, LIMIT_MS);
  ping(fd);
}

static void epoll_refused(uint32_t flags) {
  order("hold");
  int fd = tcp(SOCK_NONBLOCK), set = epoll_with(fd, EPOLLIN | EPOLLOUT | flags);
  epolls(set, QUIET_MS);
  connects(fd, SERVER);
  order("refuse");
  epolls(set, LIMIT_MS);
  so_error(fd);
}
static void epoll_level_refused(void) { epoll_refused(0); }
static void epoll_edge_refused(void) { epoll_refused(EPOLLET); }

static void epoll_removed(void) {
  int fd = starts(0), set = epoll_with(fd, EPOLLOUT);
  result("epoll_ctl DEL", epoll_ctl(set, EPOLL_CTL_DEL, fd, 0));
  order("go");
  until(fd);
  epolls(set, QUIET_MS);
  ping(fd);
}

static void epoll_input_only(void) {
  int fd = starts(0), set = epoll_with(fd, EPOLLIN);
  epolls(set, QUIET_MS);
  order("go");
  until(fd);
  epolls(set, QUIET_MS);
  count("send", (int)send(fd, "x\n", 2, MSG_NOSIGNAL));
  epolls(set, LIMIT_MS);
}

static void epoll_twice(void) {
  int fd = starts(0), set = epoll_with(fd, EPOLLOUT);
  struct epoll_event event = {.events = EPOLLIN};
  result("epoll_ctl ADD", epoll_ctl(set, EPOLL_CTL_ADD, fd, &event));
  order("go");
  epolls(set, LIMIT_MS);
  result("epoll_ctl ADD", epoll_ctl(set, EPOLL_CTL_ADD, fd, &event));
}

static void epoll_closed(void) {
  int fd = starts(0), set = epoll_with(fd, EPOLLOUT);
  result("close", close(fd));
  order("go");
  epolls(set, QUIET_MS);
}

static void selects(void) {
  int fd = starts(0);
  struct timeval limit = {0, 50000};
  fd_set readable, writable;
  for (int round = 0; round < 2; round++) {
    FD_ZERO(&readable);
    FD_ZERO(&writable);
    FD_SET(fd, &readable);
    FD_SET(fd, &writable);
    count("select", select(fd + 1, &readable, &writable, 0, &limit));
    say("readable %d writable %d", FD_ISSET(fd, &readable), FD_ISSET(fd, &writable));
    limit.tv_sec = 10;
    if (!round) order("go");
    if (!round) until(fd);
  }
  so_error(fd);
}

static void select_refused(void) {
  int fd = starts(0);
  struct timeval limit = {10, 0};
  fd_set readable, writable;
  order("refuse");
  FD_ZERO(&readable);
  FD_ZERO(&writable);
  FD_SET(fd, &readable);
  FD_SET(fd, &writable);
  until(fd);
  count("select", select(fd + 1, &readable, &writable, 0, &limit));
  so_error(fd);
}

static void *polls_too(void *argument) {
  struct pollfd wanted = {.fd = *(int *)argument, .events = POLLOUT};
  return (void *)(intptr_t)(poll(&wanted, 1, LIMIT_MS) == 1 && wanted.revents == POLLOUT);
}

static void threads(void) {
  int fd = starts(0), woken = 0;
  pthread_t waiting[4];
  for (int i = 0; i < 4; i++) pthread_create(&waiting[i], 0, polls_too, &fd);
  sleep_ms(20);
  order("go");
  for (int i = 0; i < 4; i++) {
    void *value;
    pthread_join(waiting[i], &value);
    woken += value != 0;
  }
  say("woken %d", woken);
  connected(fd);
}

static void wait_until_connected(int fd) {
  struct sockaddr_in peer;
  socklen_t size = sizeof peer;
  for (int i = 0; i < 500 && getpeername(fd, (struct sockaddr *)&peer, &size) != 0; i++) sleep_ms(10);
}

static void processes(void) {
  int fd = starts(0);
  pid_t child = fork();
  if (child == 0) {
    wait_until_connected(fd);
    so_error(fd);
    ping(fd);
    _exit(7);
  }
  order("go");
  child_ends(child);
  connected(fd);
}

static void child_polls(void) {
  int fd = starts(0);
  pid_t child = fork();
  if (child == 0) {
    quiet(fd, POLLOUT);
    _exit(0);
  }
  child_ends(child);
  order("go");
  connected(fd);
}

static void parent_closes(void) {
  int fd = starts(0);
  pid_t child = fork();
  if (child == 0) {
    wait_until_connected(fd);
    so_error(fd);
    ping(fd);
    _exit(0);
  }
  result("close", close(fd));
  order("go");
  child_ends(child);
}

static void *reader(void *argument) {
  char text[16];
  return (void *)recv(*(int *)argument, text, sizeof text, 0);
}

static void read_blocks(void) {
  int fd = starts(0);
  pthread_t thread;
  void *value;
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
  order("go");
  until(fd);
  pthread_create(&thread, 0, reader, &fd);
  count("send", (int)send(fd, "ping\n", 5, MSG_NOSIGNAL));
  pthread_join(thread, &value);
  say("read %d", (int)(intptr_t)value);
}

static void many(void) {
  order("hold");
  int fds[30], connected_count = 0;
  for (int i = 0; i < 30; i++) raw_connect(fds[i] = tcp(SOCK_NONBLOCK), SERVER);
  order("go");
  for (int i = 0; i < 30; i++) {
    struct pollfd wanted = {.fd = fds[i], .events = POLLOUT};
    connected_count += poll(&wanted, 1, LIMIT_MS) == 1 && get_option(fds[i], SOL_SOCKET, SO_ERROR) == 0;
  }
  say("%d", connected_count);
}

static const struct one cases[] = {
    {"poll", poll_after},
    {"a signal while polling", interrupted_non_blocking},
    {"epoll after, level", epoll_level},
    {"epoll after, edge", epoll_edge},
    {"epoll after, oneshot", epoll_oneshot},
    {"epoll after, edge and RDHUP", epoll_edge_rdhup},
    {"epoll before, level", epoll_level_before},
    {"epoll before, edge", epoll_edge_before},
    {"epoll before, oneshot", epoll_oneshot_before},
    {"three epoll sets", epoll_sets},
    {"epoll before, level, refused", epoll_level_refused},
    {"epoll before, edge, refused", epoll_edge_refused},
    {"epoll, removed meanwhile", epoll_removed},
    {"epoll, input only", epoll_input_only},
    {"epoll, added twice", epoll_twice},
    {"epoll, closed meanwhile", epoll_closed},
    {"select", selects},
    {"select, refused", select_refused},
    {"four threads poll", threads},
    {"shared with a child", processes},
    {"polled by a child", child_polls},
    {"left to a child", parent_closes},
    {"made blocking meanwhile", read_blocks},
    {"30 at once", many},
};

MAIN(cases)
