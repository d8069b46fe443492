/*
 * crowd-server ADDRESS PORT PROCESSES: as many processes, which accept connections at one listener and echo what comes.
 * Each takes its share: at most 4 connections.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHARE 4

static void serve(int listener) {
  struct pollfd fds[1 + SHARE] = {{.fd = listener, .events = POLLIN}};
  int count = 1;
  char bytes[256];
  for (;;) {
    fds[0].fd = count <= SHARE ? listener : -1;
    if (poll(fds, (nfds_t)count, -1) < 0) {
      if (errno == EINTR) continue;
      exit(1);
    }
    for (int i = count - 1; i > 0; i--) {
      if (!fds[i].revents) continue;
      ssize_t got = read(fds[i].fd, bytes, sizeof bytes);
      if (got > 0 && write(fds[i].fd, bytes, (size_t)got) == got) continue;
      close(fds[i].fd);
      fds[i] = fds[--count];
    }
    if (fds[0].fd < 0 || !fds[0].revents) continue;
    int fd = accept(listener, NULL, NULL);
    if (fd >= 0) fds[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
  }
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[2]))};
  inet_pton(AF_INET, argv[1], &at.sin_addr);
  int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (struct sockaddr *)&at, sizeof at)) return perror("bind"), 1;
  /* This one is the last of them: it waits for the others. */
  for (int i = 1; i < atoi(argv[3]); i++) {
    pid_t pid = fork();
    if (pid < 0) return perror("fork"), 1;
    if (pid == 0) {
      while (listen(listener, 512)) pause();
      serve(listener);
    }
  }
  if (listen(listener, 512)) return perror("listen"), 1;
  puts("listening");
  fflush(stdout);
  serve(listener);
}
