/*
 * ttfb-client NAME PORT COUNT WARMUP: time from connect() to the first byte, name resolved once.
 * ttfb-client NAME PORT: the same for each line of standard input, microseconds.
 */
#include "stats.h"
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static uint64_t first_byte(const struct addrinfo *to) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  char byte;
  uint64_t start = now_ns();
  if (connect(fd, to->ai_addr, to->ai_addrlen)) perror("connect"), exit(1);
  if (read(fd, &byte, 1) != 1) perror("read"), exit(1);
  uint64_t took = now_ns() - start;
  /* Reset instead of TIME_WAIT: the run must not exhaust the ports. */
  struct linger off = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &off, sizeof off);
  close(fd);
  return took;
}

static void each_line(const struct addrinfo *to) {
  char line[16];
  while (fgets(line, sizeof line, stdin)) {
    printf("%.3f\n", (double)first_byte(to) / 1e3);
    fflush(stdout);
  }
}

int main(int argc, char **argv) {
  if (argc != 5 && argc != 3) return 2;
  struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *to;
  int error = getaddrinfo(argv[1], argv[2], &hints, &to);
  if (error) return fprintf(stderr, "%s: %s\n", argv[1], gai_strerror(error)), 1;
  if (argc == 3) return each_line(to), 0;
  size_t count = strtoul(argv[3], 0, 10), warmup = strtoul(argv[4], 0, 10);
  uint64_t *ns = calloc(count, sizeof *ns);
  for (size_t i = 0; i < warmup + count; i++) {
    uint64_t took = first_byte(to);
    if (i >= warmup) ns[i - warmup] = took;
  }
  stats_print(ns, count);
  return 0;
}
