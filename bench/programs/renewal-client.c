/*
 * renewal-client HOST PORT SECONDS: sends a byte on one connection each millisecond, and waits for its echo. At the end
 * it prints each round trip of a millisecond and more, a line each: when it began (Unix time, ms) and how long it took
 * (ms).
 */
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SHOWN 1.0
#define MOST 1000000

static double now(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *at;
  if (getaddrinfo(argv[1], argv[2], &hints, &at)) return fputs("renewal-client: no such host\n", stderr), 1;
  int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1, count = 0;
  if (connect(fd, at->ai_addr, at->ai_addrlen)) return perror("renewal-client: connect"), 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  static double began[MOST], took[MOST];
  for (double end = now(CLOCK_MONOTONIC) + atof(argv[3]) * 1e3;;) {
    double start = now(CLOCK_MONOTONIC), wall = now(CLOCK_REALTIME);
    if (start > end || count == MOST) break;
    char byte = 'x';
    if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1) return perror("renewal-client: echo"), 1;
    double rtt = now(CLOCK_MONOTONIC) - start;
    if (rtt >= SHOWN) {
      began[count] = wall;
      took[count++] = rtt;
    }
    if (rtt < 1) usleep((useconds_t)((1 - rtt) * 1e3));
  }
  for (int i = 0; i < count; i++) printf("%.3f %.3f\n", began[i], took[i]);
  return 0;
}
