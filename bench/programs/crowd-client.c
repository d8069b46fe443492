/*
 * crowd-client HOST PORT CONNECTIONS: opens as many connections, says `connected`, and then obeys standard input, a
 * letter at a time: `b` (busy) sends a byte on one connection after the other, each millisecond, and reads its echo;
 * `q` (quiet) stops that. It says the letter when it has obeyed. At the end of the input it ends.
 */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int open_one(const struct addrinfo *at) {
  int fd = socket(at->ai_family, SOCK_STREAM, 0);
  if (fd < 0 || connect(fd, at->ai_addr, at->ai_addrlen)) {
    perror("crowd-client: connect");
    exit(1);
  }
  return fd;
}

static void echo(int fd) {
  char byte = 'x';
  if (write(fd, &byte, 1) == 1 && read(fd, &byte, 1) == 1) return;
  perror("crowd-client: echo");
  exit(1);
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *at;
  if (getaddrinfo(argv[1], argv[2], &hints, &at)) return fputs("crowd-client: no such host\n", stderr), 1;
  int count = atoi(argv[3]), busy = 0, *fds = calloc((size_t)count, sizeof *fds);
  for (int i = 0; i < count; i++) {
    fds[i] = open_one(at);
    echo(fds[i]);
  }
  puts("connected");
  fflush(stdout);
  for (int next = 0;; next = (next + 1) % count) {
    struct pollfd in = {.fd = 0, .events = POLLIN};
    int ready = poll(&in, 1, busy ? 1 : -1);
    if (ready < 0 && errno != EINTR) return 1;
    if (ready > 0) {
      char letter;
      if (read(0, &letter, 1) != 1) return 0;
      if (letter != 'b' && letter != 'q') continue;
      busy = letter == 'b';
      printf("%c\n", letter);
      fflush(stdout);
    }
    if (busy) echo(fds[next]);
  }
}
