/*
 * echo-server ADDRESS PORT ECHO_PORT: as ttfb-server on PORT; on ECHO_PORT it echoes, one connection at a time on each.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int listen_at(const char *address, const char *port) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))};
  inet_pton(AF_INET, address, &at.sin_addr);
  int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 512)) {
    perror("echo-server");
    exit(1);
  }
  return listener;
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  struct pollfd fds[] = {{.fd = listen_at(argv[1], argv[2]), .events = POLLIN},
                         {.fd = listen_at(argv[1], argv[3]), .events = POLLIN},
                         {.fd = -1, .events = POLLIN}};
  char bytes[4096] = "x";
  puts("listening");
  fflush(stdout);
  for (;;) {
    if (poll(fds, 3, -1) < 0) {
      if (errno == EINTR) continue;
      return perror("poll"), 1;
    }
    if (fds[0].revents) {
      int fd = accept(fds[0].fd, NULL, NULL);
      char byte = 'x';
      if (write(fd, &byte, 1) == 1) (void)!read(fd, &byte, 1);
      close(fd);
    }
    if (fds[1].revents) {
      if (fds[2].fd >= 0) close(fds[2].fd);
      fds[2].fd = accept(fds[1].fd, NULL, NULL);
    } else if (fds[2].fd >= 0 && fds[2].revents) {
      ssize_t got = read(fds[2].fd, bytes, sizeof bytes);
      if (got <= 0 || write(fds[2].fd, bytes, (size_t)got) != got) {
        close(fds[2].fd);
        fds[2].fd = -1;
      }
    }
  }
}
