/* path-client NAME PORT: measures connections to a path-server, as its standard input says, one line for each
 * measurement:
 *
 *   connect COUNT HOW        times from connect() to the first byte; HOW: `blocking` or `nonblocking`
 *   ping COUNT ROUNDS SIZE   on one connection: mean time of so many exchanges of SIZE bytes
 *   rate SECONDS THREADS     connections per second: connect, first byte, close
 *
 * Each is answered by a line of JSON: {"samples": [microseconds, or per second], "failed": N, "error": "why, of the
 * last one"}.
 * The name is resolved once. */
#include "stats.h"
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST_THREADS 16

static struct addrinfo *to;

static int wait_for(int fd, short events) {
  struct pollfd wanted = {.fd = fd, .events = events};
  return poll(&wanted, 1, 30000) == 1 ? 0 : -1;
}

/* -1 with errno. */
static int connect_nonblocking(int fd) {
  int error = 0;
  socklen_t size = sizeof error;
  fcntl(fd, F_SETFL, O_NONBLOCK);
  if (connect(fd, to->ai_addr, to->ai_addrlen) == 0) return 0;
  if (errno != EINPROGRESS || wait_for(fd, POLLOUT) || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size)) return -1;
  errno = error;
  return error ? -1 : 0;
}

/* A connection whose first byte has come; -1: *error says why not. */
static int open_one(int nonblocking, int *error) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  char byte;
  errno = 0;
  int bad = fd < 0 || (nonblocking ? connect_nonblocking(fd) : connect(fd, to->ai_addr, to->ai_addrlen));
  if (!bad && nonblocking) bad = wait_for(fd, POLLIN);
  if (!bad) bad = read(fd, &byte, 1) != 1;
  if (!bad) return fd;
  *error = errno ? errno : EPROTO;
  close(fd);
  return -1;
}

static void print(const double *samples, size_t count, size_t failed, int error) {
  samples_print(samples, count, failed, failed ? strerror(error) : "");
}

static void measure_connect(size_t count, int nonblocking) {
  double *us = calloc(count, sizeof *us);
  size_t good = 0;
  int error = 0;
  for (size_t i = 0; i < count; i++) {
    uint64_t start = now_ns();
    int fd = open_one(nonblocking, &error);
    if (fd < 0) continue;
    us[good++] = (double)(now_ns() - start) / 1e3;
    close(fd);
  }
  print(us, good, count - good, error);
  free(us);
}

static int exchange(int fd, char *bytes, size_t size) {
  if (send(fd, bytes, size, MSG_NOSIGNAL) != (ssize_t)size) return -1;
  for (size_t got = 0; got < size;) {
    ssize_t more = read(fd, bytes + got, size - got);
    if (more <= 0) return -1;
    got += (size_t)more;
  }
  return 0;
}

static void measure_ping(size_t count, size_t rounds, size_t size) {
  double *us = calloc(count, sizeof *us);
  char *bytes = calloc(1, size);
  int error = 0, on = 1, fd = open_one(0, &error);
  size_t good = 0;
  if (fd >= 0) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  for (; fd >= 0 && good < count; good++) {
    uint64_t start = now_ns();
    for (size_t i = 0; i < rounds; i++)
      if (exchange(fd, bytes, size)) goto out;
    us[good] = (double)(now_ns() - start) / 1e3 / (double)rounds;
  }
out:
  if (good < count && !error) error = errno;
  print(us, good, count - good, error);
  if (fd >= 0) close(fd);
  free(bytes);
  free(us);
}

struct load {
  uint64_t end;
  size_t done, failed;
  int error;
};

static void *load(void *data) {
  struct load *mine = data;
  /* Reset instead of TIME_WAIT: the run must not exhaust the ports. */
  static const struct linger off = {.l_onoff = 1, .l_linger = 0};
  while (now_ns() < mine->end) {
    int fd = open_one(0, &mine->error);
    if (fd < 0) {
      mine->failed++;
      continue;
    }
    mine->done++;
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &off, sizeof off);
    close(fd);
  }
  return 0;
}

static void measure_rate(double seconds, size_t threads) {
  pthread_t ids[MOST_THREADS];
  struct load loads[MOST_THREADS] = {0};
  size_t done = 0, failed = 0;
  int error = 0;
  uint64_t start = now_ns();
  if (threads > MOST_THREADS) threads = MOST_THREADS;
  for (size_t i = 0; i < threads; i++) {
    loads[i].end = start + (uint64_t)(seconds * 1e9);
    if (pthread_create(&ids[i], 0, load, &loads[i])) exit(1);
  }
  for (size_t i = 0; i < threads; i++) {
    pthread_join(ids[i], 0);
    done += loads[i].done;
    failed += loads[i].failed;
    if (loads[i].error) error = loads[i].error;
  }
  double rate = (double)done / ((double)(now_ns() - start) / 1e9);
  print(&rate, 1, failed, error);
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
  int wrong = getaddrinfo(argv[1], argv[2], &hints, &to);
  if (wrong) return fprintf(stderr, "%s: %s\n", argv[1], gai_strerror(wrong)), 1;
  char line[128], how[32];
  size_t count, rounds, size;
  double seconds;
  while (fgets(line, sizeof line, stdin)) {
    if (sscanf(line, "connect %zu %31s", &count, how) == 2)
      measure_connect(count, !strcmp(how, "nonblocking"));
    else if (sscanf(line, "ping %zu %zu %zu", &count, &rounds, &size) == 3)
      measure_ping(count, rounds, size);
    else if (sscanf(line, "rate %lf %zu", &seconds, &count) == 2)
      measure_rate(seconds, count);
    else
      return fprintf(stderr, "path-client: what is '%s'?\n", line), 2;
  }
  return 0;
}
