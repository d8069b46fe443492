/*
 * splice-relay PORT TARGET: the plainest relay there is: a thread for each direction of each connection, and splice(2).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct both {
  int fds[2];
};

static void move(int from, int to) {
  int ends[2];
  if (pipe(ends)) return;
  for (;;) {
    ssize_t got = splice(from, NULL, ends[1], NULL, 65536, SPLICE_F_MOVE);
    if (got <= 0) break;
    while (got > 0) {
      ssize_t put = splice(ends[0], NULL, to, NULL, (size_t)got, SPLICE_F_MOVE);
      if (put <= 0) goto over;
      got -= put;
    }
  }
over:
  close(ends[0]);
  close(ends[1]);
  shutdown(to, SHUT_WR);
}

static void *back(void *data) {
  struct both *both = data;
  move(both->fds[1], both->fds[0]);
  return NULL;
}

static void *serve(void *data) {
  struct both *both = data;
  pthread_t thread;
  pthread_create(&thread, NULL, back, both);
  move(both->fds[0], both->fds[1]);
  pthread_join(thread, NULL);
  close(both->fds[0]);
  close(both->fds[1]);
  free(both);
  return NULL;
}

static struct sockaddr_in at(const char *port) {
  return (struct sockaddr_in){
      .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((unsigned short)atoi(port))};
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  signal(SIGPIPE, SIG_IGN);
  struct sockaddr_in here = at(argv[1]), target = at(argv[2]);
  int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 512)) return perror("splice-relay"), 1;
  puts("listening");
  fflush(stdout);
  for (;;) {
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) continue;
    struct both *both = malloc(sizeof *both);
    both->fds[0] = fd;
    both->fds[1] = socket(AF_INET, SOCK_STREAM, 0);
    for (int i = 0; i < 2; i++) setsockopt(both->fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(both->fds[1], (struct sockaddr *)&target, sizeof target)) return perror("splice-relay"), 1;
    pthread_t thread;
    pthread_create(&thread, NULL, serve, both);
    pthread_detach(thread);
  }
}
