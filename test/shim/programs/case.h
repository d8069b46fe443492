/* For the test programs: checks that name what failed, time, and the calls that nearly all of them make. */
#ifndef IMAGINARY_TEST_CASE_H
#define IMAGINARY_TEST_CASE_H

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(condition, ...) \
  do { \
    if (!(condition)) { \
      int errno_ = errno; \
      fprintf(stderr, "%s:%d: %s (errno %d %s) ", __FILE__, __LINE__, #condition, errno_, strerror(errno_)); \
      fprintf(stderr, "" __VA_ARGS__); \
      fprintf(stderr, "\n"); \
      exit(1); \
    } \
  } while (0)

static inline double now_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

/* Tells the driver that the program is where it waits for something that the driver does. */
static inline void say(const char *what) {
  printf("%s\n", what);
  fflush(stdout);
}

static inline struct sockaddr_in resolve(const char *name, int port) {
  struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *list;
  struct sockaddr_in address;
  int error = getaddrinfo(name, 0, &hints, &list);
  CHECK(error == 0, "%s: %s", name, gai_strerror(error));
  memcpy(&address, list->ai_addr, sizeof address);
  freeaddrinfo(list);
  address.sin_port = htons((uint16_t)port);
  return address;
}

static inline struct sockaddr_in at(const char *ip, int port) {
  return (struct sockaddr_in){
      .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = inet_addr(ip)};
}

static inline int connect_to(int fd, struct sockaddr_in to) { return connect(fd, (struct sockaddr *)&to, sizeof to); }

static inline int bind_to(int fd, struct sockaddr_in to) { return bind(fd, (struct sockaddr *)&to, sizeof to); }

/* A system call past the shim: what it binds is the machine's, and none of the guest's. */
static inline long past_shim(long number, long first, long second, long third) {
#ifdef __x86_64__
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(first), "S"(second), "d"(third)
                   : "rcx", "r11", "memory");
#else
  register long call __asm__("x8") = number, result __asm__("x0") = first, two __asm__("x1") = second,
                     three __asm__("x2") = third;
  __asm__ volatile("svc 0" : "+r"(result) : "r"(call), "r"(two), "r"(three) : "memory");
#endif
  return result;
}

static inline void bind_past_shim(int fd, struct sockaddr_in to) {
  CHECK(past_shim(SYS_bind, fd, (long)&to, sizeof to) == 0);
}

static inline int tcp(int flags) {
  int fd = socket(AF_INET, SOCK_STREAM | flags, 0);
  CHECK(fd >= 0);
  return fd;
}

/* A non-blocking connect that has to wait, and says so. */
static inline int connecting(struct sockaddr_in to) {
  int fd = tcp(SOCK_NONBLOCK);
  CHECK(connect_to(fd, to) == -1 && errno == EINPROGRESS);
  return fd;
}

static inline int so_error(int fd) {
  int error = -1;
  socklen_t size = sizeof error;
  CHECK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0);
  return error;
}

static inline void wait_for(int fd, short events) {
  struct pollfd wanted = {.fd = fd, .events = events};
  CHECK(poll(&wanted, 1, 20000) == 1, "not within 20 s");
}

/* The connection stands: the echo server answers on it. */
static inline void ping(int fd) {
  char text[16] = {0};
  wait_for(fd, POLLOUT);
  CHECK(send(fd, "ping\n", 5, MSG_NOSIGNAL) == 5);
  wait_for(fd, POLLIN);
  CHECK(recv(fd, text, sizeof text, 0) == 5 && !strcmp(text, "ping\n"), "%s", text);
}

static inline const char *show(const struct sockaddr_in *address, char text[64]) {
  char ip[INET_ADDRSTRLEN];
  inet_ntop(AF_INET, &address->sin_addr, ip, sizeof ip);
  snprintf(text, 64, "%s:%d", ip, ntohs(address->sin_port));
  return text;
}

static inline struct sockaddr_in name_of(int fd, int (*call)(int, struct sockaddr *, socklen_t *)) {
  struct sockaddr_in name = {0};
  socklen_t size = sizeof name;
  CHECK(call(fd, (struct sockaddr *)&name, &size) == 0);
  CHECK(size == sizeof name && name.sin_family == AF_INET, "size %u family %d", size, name.sin_family);
  return name;
}

static inline bool same(struct sockaddr_in a, struct sockaddr_in b) {
  return a.sin_port == b.sin_port && a.sin_addr.s_addr == b.sin_addr.s_addr;
}

static inline int count_entries(const char *folder) {
  DIR *list = opendir(folder);
  int count = 0;
  while (readdir(list)) count++;
  closedir(list);
  return count - 2;
}

/* Without the one that counts. */
static inline int open_descriptors(void) { return count_entries("/proc/self/fd") - 1; }
static inline int threads_now(void) { return count_entries("/proc/self/task"); }

/* What the shim starts for a pending connect must be gone soon after. */
static inline void wait_until_quiet(int descriptors, int threads) {
  double end = now_ms() + 10000;
  while ((open_descriptors() != descriptors || threads_now() != threads) && now_ms() < end) usleep(2000);
  CHECK(open_descriptors() == descriptors, "%d descriptors, not %d", open_descriptors(), descriptors);
  CHECK(threads_now() == threads, "%d threads, not %d", threads_now(), threads);
}

#endif
