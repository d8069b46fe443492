/*
 * For the programs that run natively and under the shim and must say the same. Addresses and ports are printed by what
 * they stand for (SELF, PEER, LOOP, P+1), errors by name, events by name; nothing that may differ between two native
 * runs.
 *
 *   PROGRAM CASE MODE SELF PEER PORT    one case; MODE native or shim; the server listens at PEER:PORT, PORT+1 to
 * PORT+11 are free
 *
 * Lines that start with `!` ask the driver for something (`!hold`: the server's port is left unanswered; `!go`:
 * answered again; `!refuse`: refused; `!expire`: timed out) and wait for a line on standard input.
 */
#ifndef IMAGINARY_DIFFERENTIAL_H
#define IMAGINARY_DIFFERENTIAL_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_MS 10000 /* for what must happen */
#define QUIET_MS 60    /* for what must not */

struct one {
  const char *name;
  void (*run)(void);
};

static bool native;
static const char *program_path, *self_text, *peer_text;
static int port; /* the server's; the case's own follow */
static struct in_addr self_ip, peer_ip;

/* ---- saying ---- */

__attribute__((format(printf, 1, 2))) static inline void say(const char *format, ...) {
  va_list list;
  va_start(list, format);
  vprintf(format, list);
  va_end(list);
  putchar('\n');
  fflush(stdout);
}

static inline const char *error_name(int error) {
  static char number[16];
  switch (error) {
#define E(name) \
  case name: return #name;
    /* clang-format off */
    E(EINTR) E(EBADF) E(EAGAIN) E(ENOMEM) E(EACCES) E(EFAULT) E(EEXIST) E(EINVAL) E(EMFILE) E(EPIPE) E(ENOSYS) E(EPERM)
    E(ENOTSOCK) E(EDESTADDRREQ) E(EPROTOTYPE) E(ENOPROTOOPT) E(EOPNOTSUPP) E(EAFNOSUPPORT) E(EADDRINUSE) E(ENOENT)
    E(EADDRNOTAVAIL) E(ENETUNREACH) E(ECONNABORTED) E(ECONNRESET) E(ENOBUFS) E(EISCONN) E(ENOTCONN) E(ETIMEDOUT)
    E(ECONNREFUSED) E(EHOSTUNREACH) E(EALREADY) E(EINPROGRESS) E(ENOTTY) E(ENOEXEC) E(ESPIPE)
    /* clang-format on */
#undef E
  }
  if (!error) return "0";
  snprintf(number, sizeof number, "errno %d", error);
  return number;
}

/* Says what a call returned; a descriptor is a descriptor, whatever its number. */
static inline int result(const char *what, int value) {
  int error = errno;
  if (value < 0)
    say("%s: %s", what, error_name(error));
  else
    say("%s: ok", what);
  errno = error;
  return value;
}

/* As `result`, for a count. */
static inline int count(const char *what, int value) {
  if (value < 0)
    say("%s: %s", what, error_name(errno));
  else
    say("%s: %d", what, value);
  return value;
}

/* Ends the case where nothing after it would mean anything. */
#define NEED(condition) \
  do { \
    if (!(condition)) { \
      say("line %d: %s: %s", __LINE__, #condition, error_name(errno)); \
      exit(3); \
    } \
  } while (0)

static inline void order(const char *what) {
  char answer[64];
  say("!%s", what);
  NEED(fgets(answer, sizeof answer, stdin));
}

static inline const char *port_name(int number, char text[16]) {
  if (number >= port && number < port + 12)
    snprintf(text, 16, "P+%d", number - port);
  else if (number < 1024)
    snprintf(text, 16, "%d", number);
  else
    strcpy(text, "some");
  return text;
}

/*
 * `other` is the other end's address or 0. Over loopback a socket that was not bound comes from 127.0.0.1 wherever it
 * goes; on any network it comes from its host's address, and so it does under the shim.
 */
static inline const char *ip_name(struct in_addr ip, struct in_addr other) {
  struct in_addr loop = {htonl(INADDR_LOOPBACK)};
  if (native && ip.s_addr == loop.s_addr && (other.s_addr == self_ip.s_addr || other.s_addr == peer_ip.s_addr))
    ip = self_ip;
  if (ip.s_addr == self_ip.s_addr) return "SELF";
  if (ip.s_addr == peer_ip.s_addr) return "PEER";
  if (ip.s_addr == loop.s_addr) return "LOOP";
  return ip.s_addr ? inet_ntoa(ip) : "ANY";
}

static inline struct in_addr v4_of(const struct sockaddr_storage *address) {
  struct in_addr ip = {0};
  const struct sockaddr_in6 *six = (const void *)address;
  if (address->ss_family == AF_INET) return ((const struct sockaddr_in *)(const void *)address)->sin_addr;
  if (address->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&six->sin6_addr))
    memcpy(&ip, &six->sin6_addr.s6_addr[12], 4);
  return ip;
}

static inline void address(const char *what, const struct sockaddr_storage *at, socklen_t size, struct in_addr other) {
  char text[16];
  const struct sockaddr_in *four = (const void *)at;
  const struct sockaddr_in6 *six = (const void *)at;
  if (at->ss_family == AF_INET)
    say("%s: %s:%s (%u)", what, ip_name(four->sin_addr, other), port_name(ntohs(four->sin_port), text), size);
  else if (at->ss_family != AF_INET6)
    say("%s: family %d (%u)", what, at->ss_family, size);
  else if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr))
    say("%s: [mapped %s]:%s (%u)", what, ip_name(v4_of(at), other), port_name(ntohs(six->sin6_port), text), size);
  else
    say("%s: [%s]:%s (%u)", what,
        IN6_IS_ADDR_UNSPECIFIED(&six->sin6_addr) ? "ANY"
        : IN6_IS_ADDR_LOOPBACK(&six->sin6_addr)  ? "LOOP"
                                                 : "other",
        port_name(ntohs(six->sin6_port), text), size);
}

typedef int (*name_call)(int, struct sockaddr *, socklen_t *);

static inline void name(const char *what, int fd, name_call call, name_call other_call) {
  struct sockaddr_storage at = {0}, other = {0};
  socklen_t size = sizeof at, other_size = sizeof other;
  if (call(fd, (struct sockaddr *)&at, &size) != 0) {
    say("%s: %s", what, error_name(errno));
    return;
  }
  if (other_call(fd, (struct sockaddr *)&other, &other_size) != 0) other = (struct sockaddr_storage){0};
  address(what, &at, size, v4_of(&other));
}

static inline void local(int fd) { name("local", fd, getsockname, getpeername); }
static inline void remote(int fd) { name("remote", fd, getpeername, getsockname); }

static inline int port_of(int fd) {
  struct sockaddr_in6 at = {0};
  socklen_t size = sizeof at;
  NEED(getsockname(fd, (struct sockaddr *)&at, &size) == 0);
  return ntohs(at.sin6_port); /* at the same location in both families */
}

/* ---- doing ---- */

static inline struct sockaddr_in at(struct in_addr ip, int number) {
  return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)number), .sin_addr = ip};
}
static inline struct in_addr ip(const char *text) { return (struct in_addr){inet_addr(text)}; }
#define LOOP ip("127.0.0.1")
#define ANY ip("0.0.0.0")
#define SERVER at(peer_ip, port)

static inline struct sockaddr_in6 mapped(struct in_addr from, int number) {
  struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)number)};
  six.sin6_addr.s6_addr[10] = six.sin6_addr.s6_addr[11] = 0xff;
  memcpy(&six.sin6_addr.s6_addr[12], &from, 4);
  return six;
}

static inline int tcp(int flags) {
  int fd = socket(AF_INET, SOCK_STREAM | flags, 0);
  NEED(fd >= 0);
  return fd;
}

static inline int tcp6(int flags) {
  int fd = socket(AF_INET6, SOCK_STREAM | flags, 0);
  NEED(fd >= 0);
  return fd;
}

static inline int raw_connect(int fd, struct sockaddr_in to) { return connect(fd, (struct sockaddr *)&to, sizeof to); }
static inline int raw_connect6(int fd, struct sockaddr_in6 to) {
  return connect(fd, (struct sockaddr *)&to, sizeof to);
}
static inline int raw_bind(int fd, struct sockaddr_in to) { return bind(fd, (struct sockaddr *)&to, sizeof to); }
static inline int raw_bind6(int fd, struct sockaddr_in6 to) { return bind(fd, (struct sockaddr *)&to, sizeof to); }

static inline int connects(int fd, struct sockaddr_in to) { return result("connect", raw_connect(fd, to)); }
static inline int binds(int fd, struct sockaddr_in to) { return result("bind", raw_bind(fd, to)); }
static inline int disconnects(int fd) {
  struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
  return result("disconnect", connect(fd, &nowhere, sizeof nowhere));
}

static inline int set_option(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof value);
}

static inline int get_option(int fd, int level, int option) {
  int value = 0;
  socklen_t size = sizeof value;
  return getsockopt(fd, level, option, &value, &size) == 0 ? value : -1;
}

static inline void so_error(int fd) {
  int value = 0;
  socklen_t size = sizeof value;
  if (result("getsockopt", getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &size)) == 0)
    say("SO_ERROR: %s", error_name(value));
}

/* Everything that can be set and stays; what the kernel changes by itself, or shows of the path, is left out. */
static const struct option {
  const char *name;
  int level, option, value; /* `value`: one that is not the default */
} all_options[] = {
#define O(level, option, value) {#option, level, option, value}
    O(SOL_SOCKET, SO_REUSEADDR, 1),
    O(SOL_SOCKET, SO_KEEPALIVE, 1),
    O(SOL_SOCKET, SO_BROADCAST, 1),
    O(SOL_SOCKET, SO_OOBINLINE, 1),
    O(SOL_SOCKET, SO_PRIORITY, 5),
    O(SOL_SOCKET, SO_RCVLOWAT, 2),
    O(SOL_SOCKET, SO_TIMESTAMP, 1),
    O(SOL_SOCKET, SO_REUSEPORT, 1),
    O(SOL_SOCKET, SO_MAX_PACING_RATE, 1 << 30),
    O(IPPROTO_TCP, TCP_NODELAY, 1),
    O(IPPROTO_TCP, TCP_CORK, 1),
    O(IPPROTO_TCP, TCP_KEEPIDLE, 77),
    O(IPPROTO_TCP, TCP_KEEPINTVL, 11),
    O(IPPROTO_TCP, TCP_KEEPCNT, 4),
    O(IPPROTO_TCP, TCP_SYNCNT, 3),
    O(IPPROTO_TCP, TCP_LINGER2, 30),
    O(IPPROTO_TCP, TCP_USER_TIMEOUT, 30000),
    O(IPPROTO_TCP, TCP_NOTSENT_LOWAT, 99),
    O(IPPROTO_TCP, TCP_DEFER_ACCEPT, 0),
    O(IPPROTO_IP, IP_TOS, 16),
    O(IPPROTO_IP, IP_TTL, 33),
    O(IPPROTO_IP, IP_MTU_DISCOVER, 0),
#undef O
};
#define ALL_OPTIONS (sizeof all_options / sizeof *all_options)

static inline void set_options(int fd) {
  struct linger linger = {1, 7};
  struct timeval time = {25, 500000};
  for (size_t i = 0; i < ALL_OPTIONS; i++)
    if (all_options[i].value != 0 || all_options[i].option == IP_MTU_DISCOVER)
      NEED(set_option(fd, all_options[i].level, all_options[i].option, all_options[i].value) == 0);
  NEED(set_option(fd, SOL_SOCKET, SO_SNDBUF, 50000) == 0 && set_option(fd, SOL_SOCKET, SO_RCVBUF, 40000) == 0);
  NEED(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0);
  NEED(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time) == 0);
  NEED(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time) == 0);
  NEED(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4) == 0);
}

/* `buffers`: their sizes too, which the kernel tunes unless they were set. */
static inline void tell_options(int fd, bool buffers) {
  struct linger linger;
  struct timeval time;
  char text[16] = "";
  socklen_t size = sizeof linger;
  for (size_t i = 0; i < ALL_OPTIONS; i++)
    say("%s %d", all_options[i].name, get_option(fd, all_options[i].level, all_options[i].option));
  if (buffers) say("buffers %d %d", get_option(fd, SOL_SOCKET, SO_SNDBUF), get_option(fd, SOL_SOCKET, SO_RCVBUF));
  if (getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &size) == 0) say("linger %d %d", linger.l_onoff, linger.l_linger);
  size = sizeof time;
  if (getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, &size) == 0) say("receive %ld.%06ld", time.tv_sec, time.tv_usec);
  if (getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, &size) == 0) say("send %ld.%06ld", time.tv_sec, time.tv_usec);
  size = sizeof text;
  if (getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, text, &size) == 0) say("congestion %s", text);
}

static inline const char *events_name(unsigned events, char text[64]) {
  static const struct {
    unsigned bit;
    const char *name;
  } names[] = {{POLLIN, " IN"},       {POLLOUT, " OUT"},   {POLLERR, " ERR"}, {POLLHUP, " HUP"},
               {POLLRDHUP, " RDHUP"}, {POLLNVAL, " NVAL"}, {POLLPRI, " PRI"}};
  text[0] = 0;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (events & names[i].bit) strcat(text, names[i].name);
  return text;
}

static inline void polls(int fd, int events, int limit) {
  char text[64];
  struct pollfd wanted = {.fd = fd, .events = (short)events};
  int ready = poll(&wanted, 1, limit);
  if (ready < 0)
    say("poll: %s", error_name(errno));
  else
    say("poll:%s", ready ? events_name((unsigned short)wanted.revents, text) : " nothing");
}

static inline void until(int fd) { polls(fd, POLLOUT, LIMIT_MS); }

static inline void quiet(int fd, int events) { polls(fd, events, QUIET_MS); }

static inline int epoll_with(int fd, uint32_t events) {
  struct epoll_event event = {.events = events, .data.u64 = 0x1234567887654321};
  int set = epoll_create1(EPOLL_CLOEXEC);
  NEED(set >= 0);
  result("epoll_ctl ADD", epoll_ctl(set, EPOLL_CTL_ADD, fd, &event));
  return set;
}

static inline void epoll_mod(int set, int fd, uint32_t events) {
  struct epoll_event event = {.events = events, .data.u64 = 0x1234567887654321};
  result("epoll_ctl MOD", epoll_ctl(set, EPOLL_CTL_MOD, fd, &event));
}

static inline void epolls(int set, int limit) {
  char text[64];
  struct epoll_event event;
  int ready = epoll_wait(set, &event, 1, limit);
  if (ready < 0)
    say("epoll: %s", error_name(errno));
  else
    say("epoll:%s%s", ready ? events_name(event.events, text) : " nothing",
        ready && event.data.u64 != 0x1234567887654321 ? " wrong data" : "");
}

/* Sends a line and says what comes back; `text` is an order to the server when it starts with `C`. */
static inline bool exchange(int fd, const char *text, char *answer, size_t size) {
  size_t length = 0, sent = strlen(text);
  struct pollfd wanted = {.fd = fd, .events = POLLOUT};
  if (poll(&wanted, 1, LIMIT_MS) != 1 || send(fd, text, sent, MSG_NOSIGNAL) != (ssize_t)sent) return false;
  wanted.events = POLLIN;
  while (length + 1 < size && (!length || answer[length - 1] != '\n')) {
    if (poll(&wanted, 1, LIMIT_MS) != 1) return false;
    ssize_t got = recv(fd, answer + length, size - 1 - length, 0);
    if (got <= 0) return false;
    length += (size_t)got;
  }
  answer[length] = 0;
  return true;
}

static inline void ping(int fd) {
  char answer[64];
  bool there = exchange(fd, "ping\n", answer, sizeof answer);
  say("ping: %s", !there ? error_name(errno) : strcmp(answer, "ping\n") ? "wrong answer" : "ok");
}

static inline void reads(int fd) {
  char text[64];
  struct pollfd wanted = {.fd = fd, .events = POLLIN};
  if (poll(&wanted, 1, LIMIT_MS) != 1) {
    say("read: nothing");
    return;
  }
  ssize_t size = read(fd, text, sizeof text - 1);
  if (size < 0)
    say("read: %s", error_name(errno));
  else
    say("read: %d", (int)size);
}

/* A connection from the peer's host to SELF:PORT+n, made by the server; its own descriptor on which to ask it. */
static inline int ask_for_connections(int number, int how_many) {
  char text[128], answer[64];
  int control = tcp(SOCK_CLOEXEC);
  NEED(raw_connect(control, SERVER) == 0);
  snprintf(text, sizeof text, "C %s %d %d\n", self_text, number, how_many);
  NEED(exchange(control, text, answer, sizeof answer));
  answer[strcspn(answer, "\n")] = 0;
  say("peer connects: %s", answer);
  return control;
}

static inline void child_ends(pid_t child) {
  int status = 0;
  NEED(waitpid(child, &status, 0) == child);
  if (WIFEXITED(status))
    say("child: exit %d", WEXITSTATUS(status));
  else
    say("child: signal %d", WTERMSIG(status));
}

static inline void sleep_ms(int milliseconds) {
  struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
  while (nanosleep(&time, &time) != 0 && errno == EINTR) continue;
}

static inline int run_case(const struct one *cases, size_t size, int argc, char **argv) {
  if (argc < 6) return fprintf(stderr, "usage: %s CASE MODE SELF PEER PORT\n", argv[0]), 2;
  program_path = argv[0];
  native = !strcmp(argv[2], "native");
  self_text = argv[3];
  peer_text = argv[4];
  self_ip = ip(self_text);
  peer_ip = ip(peer_text);
  port = atoi(argv[5]);
  for (size_t i = 0; i < size; i++)
    if (!strcmp(cases[i].name, argv[1])) {
      cases[i].run();
      say("end");
      return 0;
    }
  return fprintf(stderr, "no case '%s'\n", argv[1]), 2;
}

#define MAIN(cases) \
  int main(int argc, char **argv) { return run_case(cases, sizeof cases / sizeof *cases, argc, argv); }

#endif
