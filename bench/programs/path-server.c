/*
 * path-server ADDRESS PORT: sends one byte on each connection and echoes what comes until its end. A thread for each of
 * at most eight connections at a time.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define THREADS 8

static int listener;

static void *serve(void *unused) {
  static const int on = 1;
  char bytes[65536] = {'x'};
  for (;;) {
    int fd = accept(listener, 0, 0);
    if (fd < 0) continue;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ssize_t got = 1;
    for (ssize_t sent; got > 0; got = read(fd, bytes, sizeof bytes)) {
      for (sent = 0; sent < got;) {
        ssize_t more = send(fd, bytes + sent, (size_t)(got - sent), MSG_NOSIGNAL);
        if (more < 0) break;
        sent += more;
      }
      if (sent < got) break;
    }
    close(fd);
  }
  return unused;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[2]))};
  inet_pton(AF_INET, argv[1], &at.sin_addr);
  int on = 1;
  pthread_t thread;
  listener = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 512)) return perror("path-server"), 1;
  puts("listening");
  fflush(stdout);
  for (int i = 1; i < THREADS; i++)
    if (pthread_create(&thread, 0, serve, 0)) return 1;
  serve(0);
}
