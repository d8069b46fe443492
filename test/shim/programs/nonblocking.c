/*
 * nonblocking HOST PORT ERRNO [soon]: connects without blocking to a host that is not up and waits in every way there
 * is, all at the same time. Prints `pending` when all wait; then the connects are to end with ERRNO (0: connected).
 * With `soon` they may end before that.
 */
#include "case.h"

static struct sockaddr_in to;
static int expected;
static bool soon;
static pthread_barrier_t all_wait;

static void judge(const char *way, int fd) {
  int error = so_error(fd);
  CHECK(error == expected, "%s: %d", way, error);
  if (!expected) {
    CHECK(same(name_of(fd, getpeername), to), "%s", way);
    ping(fd);
  } else {
    struct sockaddr_in name;
    socklen_t size = sizeof name;
    CHECK(getpeername(fd, (struct sockaddr *)&name, &size) == -1 && errno == ENOTCONN, "%s", way);
  }
  close(fd);
}

static void *with_poll(void *argument) {
  int fd = connecting(to);
  short events = (short)(intptr_t)argument;
  struct pollfd wanted = {.fd = fd, .events = events};
  CHECK(soon || poll(&wanted, 1, 0) == 0, "revents %d", wanted.revents);
  pthread_barrier_wait(&all_wait);
  CHECK(poll(&wanted, 1, 20000) == 1);
  judge("poll", fd);
  return 0;
}

static void *with_select(void *argument) {
  (void)argument;
  int fd = connecting(to);
  fd_set writable;
  struct timeval limit = {20, 0};
  FD_ZERO(&writable);
  FD_SET(fd, &writable);
  pthread_barrier_wait(&all_wait);
  CHECK(select(fd + 1, 0, &writable, 0, &limit) == 1);
  judge("select", fd);
  return 0;
}

struct way {
  const char *name;
  uint32_t flags;
  int before, sets, modified;
};

static void *with_epoll(void *argument) {
  const struct way *way = argument;
  int sets[3], fd = way->before ? tcp(SOCK_NONBLOCK) : connecting(to);
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | way->flags, .data.u64 = 0x1122334455667788}, got;
  for (int i = 0; i < way->sets; i++) {
    sets[i] = epoll_create1(EPOLL_CLOEXEC);
    CHECK(epoll_ctl(sets[i], EPOLL_CTL_ADD, fd, &event) == 0);
    /* What an unconnected socket reports is left behind, as programs that register first do. */
    if (way->before) CHECK(epoll_wait(sets[i], &got, 1, 0) == 1);
  }
  if (way->before) {
    CHECK(connect_to(fd, to) == -1 && errno == EINPROGRESS, "%s", way->name);
  }
  if (way->modified || (way->flags & EPOLLONESHOT && way->before))
    for (int i = 0; i < way->sets; i++) CHECK(epoll_ctl(sets[i], EPOLL_CTL_MOD, fd, &event) == 0, "%s", way->name);
  for (int i = 0; i < way->sets && !soon; i++)
    CHECK(epoll_wait(sets[i], &got, 1, 0) == 0, "%s %x", way->name, got.events);
  pthread_barrier_wait(&all_wait);
  for (int i = 0; i < way->sets; i++) {
    CHECK(epoll_wait(sets[i], &got, 1, 20000) == 1, "%s", way->name);
    CHECK(got.data.u64 == 0x1122334455667788, "%s", way->name);
    CHECK(got.events & EPOLLOUT, "%s %x", way->name, got.events);
    CHECK(!!(got.events & EPOLLERR) == !!expected, "%s %x", way->name, got.events);
  }
  if (!expected && !(way->flags & (EPOLLET | EPOLLONESHOT))) {
    /* Only input from now on: nothing to tell until the echo comes. */
    event.events = EPOLLIN;
    CHECK(epoll_ctl(sets[0], EPOLL_CTL_MOD, fd, &event) == 0);
    CHECK(epoll_wait(sets[0], &got, 1, 0) == 0, "%s %x", way->name, got.events);
  }
  for (int i = 0; i < way->sets; i++) CHECK(epoll_ctl(sets[i], EPOLL_CTL_DEL, fd, 0) == 0, "%s", way->name);
  judge(way->name, fd);
  for (int i = 0; i < way->sets; i++) close(sets[i]);
  return 0;
}

/* A thread that is in epoll_wait before another one connects. */
static void *wait_in_epoll(void *argument) {
  struct epoll_event got;
  CHECK(epoll_wait(*(int *)argument, &got, 1, 20000) == 1 && got.events & EPOLLOUT);
  return 0;
}

static void *with_waiter(void *argument) {
  (void)argument;
  int set = epoll_create1(EPOLL_CLOEXEC), fd = tcp(SOCK_NONBLOCK);
  struct epoll_event event = {.events = EPOLLOUT | EPOLLET}, got;
  pthread_t waiter;
  CHECK(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0 && epoll_wait(set, &got, 1, 0) == 1);
  CHECK(pthread_create(&waiter, 0, wait_in_epoll, &set) == 0);
  CHECK(connect_to(fd, to) == -1 && errno == EINPROGRESS);
  pthread_barrier_wait(&all_wait);
  pthread_join(waiter, 0);
  judge("waiter in epoll", fd);
  close(set);
  return 0;
}

int main(int argc, char **argv) {
  if (argc != 4 && argc != 5) return 2;
  soon = argc == 5;
  static const struct way ways[] = {{"level after", 0, 0, 1, 0},
                                    {"level before", 0, 1, 1, 0},
                                    {"edge after", EPOLLET, 0, 1, 0},
                                    {"edge before", EPOLLET, 1, 1, 0},
                                    {"edge before, modified", EPOLLET, 1, 1, 1},
                                    {"oneshot after", EPOLLONESHOT, 0, 1, 0},
                                    {"oneshot before", EPOLLONESHOT, 1, 1, 0},
                                    {"edge, rdhup, before", EPOLLET | EPOLLRDHUP, 1, 1, 0},
                                    {"three sets before", EPOLLET, 1, 3, 0},
                                    {"three sets after", 0, 0, 3, 1}};
  enum { COUNT = sizeof ways / sizeof *ways };
  pthread_t threads[COUNT + 4];
  int made = 0;
  expected = atoi(argv[3]);
  to = resolve(argv[1], atoi(argv[2]));
  int descriptors = open_descriptors();
  pthread_barrier_init(&all_wait, 0, COUNT + 5);
  for (int i = 0; i < COUNT; i++) pthread_create(&threads[made++], 0, with_epoll, (void *)(uintptr_t)&ways[i]);
  pthread_create(&threads[made++], 0, with_poll, (void *)(intptr_t)POLLOUT);
  pthread_create(&threads[made++], 0, with_poll, (void *)(intptr_t)(POLLOUT | POLLIN));
  pthread_create(&threads[made++], 0, with_select, 0);
  pthread_create(&threads[made++], 0, with_waiter, 0);
  pthread_barrier_wait(&all_wait);
  say("pending");
  for (int i = 0; i < made; i++) pthread_join(threads[i], 0);
  wait_until_quiet(descriptors, 1);
  say("ok");
  return 0;
}
