/* lookup NAME COUNT: time of one getaddrinfo(NAME). */
#include "stats.h"
#include <netdb.h>
#include <sys/socket.h>

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  size_t count = strtoul(argv[2], 0, 10), warmup = count / 10;
  struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *to;
  uint64_t *ns = calloc(count, sizeof *ns);
  for (size_t i = 0; i < warmup + count; i++) {
    uint64_t start = now_ns();
    int error = getaddrinfo(argv[1], 0, &hints, &to);
    if (i >= warmup) ns[i - warmup] = now_ns() - start;
    if (error) return fprintf(stderr, "%s: %s\n", argv[1], gai_strerror(error)), 1;
    freeaddrinfo(to);
  }
  stats_print(ns, count);
  return 0;
}
