/*
 * bare-chain server ADDRESS PORT | bare-chain client ADDRESS PORT pooled|open  The steps that a guest's new connection
 * takes, and nothing else: what they cost on this machine at the least. A guest asks its supervisor for a descriptor (a
 * datagram on a Unix socket, answered over a socket pair); that one says so to the other supervisor, on a connection
 * that is ready (`pooled`) or over a standing one after which both connect (`open`); that one makes a signal connection
 * to its guest's listener, whose accept asks for the descriptor as well. No secret, check or copy of an option, nothing
 * is made again while it is measured, and nothing is shared but by these two guests.  The client answers path-client's
 * `connect COUNT`. A supervisor and its guest are two processes.
 */
#define _GNU_SOURCE
#include "stats.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define GUEST_PORT 10   /* behind the supervisor's */
#define GUEST_THREADS 8 /* as path-server */
#define SIGNALS 16      /* kept open until so many more have been made */
#define OWN_PORT 20000
#define OTHER_PORT 30000
#define PORTS 2000

/* What a supervisor says to the other one: on a ready connection, or over the standing one. */
struct call {
  uint16_t from, to;
  char rest[16];
};

static const int on = 1;
static char supervisor[64]; /* the abstract address of its Unix socket, which is `asks` */
static int asks;
static uint16_t guest_port;

static void fatal(const char *what) {
  perror(what);
  exit(1);
}

static struct sockaddr_in inet(const char *ip, uint16_t port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
  if (inet_pton(AF_INET, ip, &to.sin_addr) != 1) fatal(ip);
  return to;
}

static int tcp(int flags) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
  if (fd < 0) fatal("socket");
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

static int listen_at(const char *ip, uint16_t port) {
  struct sockaddr_in at = inet(ip, port);
  int fd = tcp(0);
  if (bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, 4096)) fatal("listen");
  return fd;
}

static struct sockaddr_un unix_address(void) {
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  memcpy(at.sun_path + 1, supervisor, sizeof supervisor);
  return at;
}

static void pass(int to, const void *bytes, size_t size, int fd) {
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof fd)];
  } control = {.header = {.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
  struct iovec part = {(void *)(uintptr_t)bytes, size};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
  memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
  if (sendmsg(to, &message, MSG_NOSIGNAL) < 0) fatal("sendmsg");
}

static int take(int from, void *bytes, size_t size) {
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(int))];
  } control;
  struct iovec part = {bytes, size};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
  int fd;
  if (recvmsg(from, &message, MSG_CMSG_CLOEXEC) <= 0 || !CMSG_FIRSTHDR(&message)) fatal("recvmsg");
  memcpy(&fd, CMSG_DATA(&control.header), sizeof fd);
  return fd;
}

/* A guest's question, in sizes as of the shim's. */
static int ask(uint16_t port) {
  struct sockaddr_un to = unix_address();
  char question[64] = {0}, answer[32];
  int ends[2], line = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  memcpy(question, &port, sizeof port);
  if (connect(line, (struct sockaddr *)&to, sizeof to)) fatal("supervisor");
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends)) fatal("socketpair");
  pass(line, question, sizeof question, ends[1]);
  close(ends[1]);
  int fd = take(ends[0], answer, sizeof answer);
  close(ends[0]);
  close(line);
  return fd;
}

static void give(int reply_to, int fd) {
  static const char answer[32];
  pass(reply_to, answer, sizeof answer, fd);
  close(reply_to);
  close(fd);
}

static void serve_guests(const char *role) {
  snprintf(supervisor, sizeof supervisor, "bare-chain-%s-%d", role, (int)getpid());
  struct sockaddr_un at = unix_address();
  asks = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (bind(asks, (struct sockaddr *)&at, sizeof at)) fatal(supervisor);
}

static void start(void *(*run)(void *), void *argument) {
  pthread_t thread;
  if (pthread_create(&thread, 0, run, argument)) fatal("thread");
}

static bool is_guest(void) {
  pid_t child = fork();
  if (child < 0) fatal("fork");
  if (child == 0) prctl(PR_SET_PDEATHSIG, SIGKILL);
  return child == 0;
}

/* Both sides, from a port that they have agreed on. */
static int open_to(struct sockaddr_in to, uint16_t from, uint16_t port) {
  struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(from)};
  int fd = tcp(SOCK_NONBLOCK);
  to.sin_port = htons(port);
  if (bind(fd, (struct sockaddr *)&own, sizeof own)) fatal("bind");
  if (connect(fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) fatal("connect");
  return fd;
}

static void watch(int set, int fd, uint32_t events) {
  struct epoll_event event = {.events = events, .data.fd = fd};
  if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event)) fatal("epoll_ctl");
}

/* ---- the server's side ---- */

static int signalled[65536]; /* the connection behind it, by the signal's port */

static void *answer_accepts(void *unused) {
  for (uint16_t port;;) {
    char question[64];
    int reply_to = take(asks, question, sizeof question);
    memcpy(&port, question, sizeof port);
    give(reply_to, __atomic_load_n(&signalled[port], __ATOMIC_ACQUIRE));
  }
  return unused;
}

static void *serve(void *data) {
  int listener = *(int *)data;
  for (char bytes[4096];;) {
    struct sockaddr_in peer;
    socklen_t size = sizeof peer;
    int fd = accept(listener, (struct sockaddr *)&peer, &size);
    if (fd < 0) continue;
    int real = ask(ntohs(peer.sin_port));
    if (dup3(real, fd, 0) < 0) fatal("dup3");
    close(real);
    if (send(fd, "x", 1, MSG_NOSIGNAL) == 1)
      while (read(fd, bytes, sizeof bytes) > 0);
    close(fd);
  }
  return 0;
}

static void signal_guest(int connection) {
  static int old[SIGNALS], next;
  static const struct linger now = {.l_onoff = 1, .l_linger = 0};
  struct sockaddr_in from = inet("127.0.0.2", 0), to = inet("127.0.0.1", guest_port);
  socklen_t size = sizeof from;
  int fd = tcp(SOCK_NONBLOCK);
  if (bind(fd, (struct sockaddr *)&from, sizeof from) || getsockname(fd, (struct sockaddr *)&from, &size))
    fatal("signal");
  __atomic_store_n(&signalled[ntohs(from.sin_port)], connection, __ATOMIC_RELEASE);
  if (connect(fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) fatal("signal");
  if (old[next]) setsockopt(old[next], SOL_SOCKET, SO_LINGER, &now, sizeof now), close(old[next]);
  old[next] = fd;
  next = (next + 1) % SIGNALS;
}

/* The first connection is the standing one. */
static void server(const char *ip, uint16_t port) {
  struct epoll_event events[64];
  struct sockaddr_in peer;
  socklen_t size = sizeof peer;
  guest_port = (uint16_t)(port + GUEST_PORT);
  int guests = listen_at("127.0.0.1", guest_port), listener = listen_at(ip, port);
  serve_guests("server");
  if (is_guest()) {
    for (int i = 1; i < GUEST_THREADS; i++) start(serve, &guests);
    serve(&guests);
  }
  start(answer_accepts, 0);
  puts("listening");
  fflush(stdout);
  int set = epoll_create1(EPOLL_CLOEXEC), standing = accept4(listener, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC);
  watch(set, listener, EPOLLIN);
  watch(set, standing, EPOLLIN);
  for (;;) {
    int count = epoll_wait(set, events, 64, -1);
    for (int i = 0; i < count; i++) {
      int fd = events[i].data.fd;
      struct call call;
      if (fd == listener) {
        int ready = accept4(listener, 0, 0, SOCK_CLOEXEC);
        setsockopt(ready, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        watch(set, ready, EPOLLIN);
      } else if (fd == standing) {
        if (recv(fd, &call, sizeof call, 0) != sizeof call) exit(0); /* the client is done */
        watch(set, open_to(peer, call.to, call.from), EPOLLOUT);
      } else {
        bool opened = events[i].events & EPOLLOUT;
        bool good = opened ? !(events[i].events & (EPOLLERR | EPOLLHUP))
                           : recv(fd, &call, sizeof call, MSG_DONTWAIT) == sizeof call;
        epoll_ctl(set, EPOLL_CTL_DEL, fd, 0);
        if (opened) fcntl(fd, F_SETFL, O_RDWR);
        if (good)
          signal_guest(fd);
        else
          close(fd);
      }
    }
  }
}

/* ---- the client's side ---- */

static struct sockaddr_in other;
static int standing, set, ready_count, *ready, waiting;

static void *give_ready(void *unused) {
  static const struct call call;
  for (char question[64];;) {
    int reply_to = take(asks, question, sizeof question), fd = ready[--ready_count];
    if (send(fd, &call, sizeof call, MSG_NOSIGNAL) != sizeof call) fatal("send");
    give(reply_to, fd);
  }
  return unused;
}

static void *begin_open(void *unused) {
  for (unsigned i = 0;; i++) {
    char question[64];
    struct call call = {.from = (uint16_t)(OWN_PORT + i % PORTS), .to = (uint16_t)(OTHER_PORT + i / PORTS % PORTS)};
    waiting = take(asks, question, sizeof question);
    int fd = open_to(other, call.from, call.to);
    if (send(standing, &call, sizeof call, MSG_NOSIGNAL) != sizeof call) fatal("send");
    watch(set, fd, EPOLLOUT);
  }
  return unused;
}

static void *give_opened(void *unused) {
  for (struct epoll_event event;;) {
    if (epoll_wait(set, &event, 1, -1) != 1) continue;
    int fd = event.data.fd;
    epoll_ctl(set, EPOLL_CTL_DEL, fd, 0);
    fcntl(fd, F_SETFL, O_RDWR);
    give(waiting, fd);
  }
  return unused;
}

/* One measurement: so many numbers, then a byte to the supervisor. */
static void measure(size_t count, int done) {
  double *us = calloc(count, sizeof *us);
  for (size_t i = 0; i < count; i++) {
    uint64_t start = now_ns();
    char byte;
    int fd = socket(AF_INET, SOCK_STREAM, 0), real = ask(0);
    if (dup3(real, fd, 0) < 0) fatal("dup3");
    close(real);
    if (read(fd, &byte, 1) != 1) fatal("read");
    us[i] = (double)(now_ns() - start) / 1e3;
    close(fd);
  }
  samples_print(us, count, 0, "");
  free(us);
  if (write(done, "", 1) != 1) fatal("write");
}

static void client(bool pooled) {
  int go[2], done[2];
  char line[128], byte;
  size_t count;
  serve_guests("client");
  if (pipe(go) || pipe(done)) fatal("pipe");
  if (is_guest()) {
    close(go[1]);
    while (read(go[0], &count, sizeof count) == sizeof count) measure(count, done[1]);
    exit(0);
  }
  set = epoll_create1(EPOLL_CLOEXEC);
  standing = tcp(0);
  if (connect(standing, (struct sockaddr *)&other, sizeof other)) fatal("connect");
  start(pooled ? give_ready : begin_open, 0);
  if (!pooled) start(give_opened, 0);
  while (fgets(line, sizeof line, stdin)) {
    if (sscanf(line, "connect %zu", &count) != 1 || !(ready = realloc(ready, count * sizeof *ready))) exit(2);
    while (pooled && (size_t)ready_count < count) {
      int fd = tcp(0);
      if (connect(fd, (struct sockaddr *)&other, sizeof other)) fatal("connect");
      ready[ready_count++] = fd;
    }
    if (write(go[1], &count, sizeof count) != sizeof count || read(done[0], &byte, 1) != 1) exit(1);
  }
}

int main(int argc, char **argv) {
  if (argc == 4 && !strcmp(argv[1], "server")) server(argv[2], (uint16_t)atoi(argv[3]));
  if (argc != 5 || strcmp(argv[1], "client")) return 2;
  other = inet(argv[2], (uint16_t)atoi(argv[3]));
  client(!strcmp(argv[4], "pooled"));
}
