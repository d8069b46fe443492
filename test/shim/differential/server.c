/*
 * server ADDRESS SOURCE PORT: the other host of the differential tests. Answers each line with the same line, except
 *   C ADDRESS PORT N     makes N connections there, one after the other, and keeps them; answers with the errno of
 *                        the first
 *                        that failed, else 0
 *   E | R | L            ends the last of them | resets it | reads from it: answers `end`, `data` or an errno
 * SOURCE is what its connections come from (0.0.0.0: whatever the system chooses). Commands on standard input,
 * answered by
 * a line: `hold` leaves connects unanswered (as by a host that is not up), `go` answers them again, `refuse` stops
 * listening.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *source;
static int listener;

static struct sockaddr_in at(const char *ip, int port) {
  return (struct sockaddr_in){
      .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = inet_addr(ip)};
}

/* Answers with the one that was made last, or -1. */
static int connect_back(FILE *stream, const char *line) {
  int last = -1;
  char ip[64];
  int port = 0, count = 0, error = 0;
  sscanf(line, "C %63s %d %d", ip, &port, &count);
  for (int i = 0; i < count && !error; i++) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in to = at(ip, port), from = at(source, 0);
    setsockopt(fd, IPPROTO_IP, 24 /* IP_BIND_ADDRESS_NO_PORT */, &on, sizeof on);
    if (from.sin_addr.s_addr && bind(fd, (struct sockaddr *)&from, sizeof from) != 0) error = errno;
    if (!error && connect(fd, (struct sockaddr *)&to, sizeof to) != 0) error = errno;
    if (!error && send(fd, "hello\n", 6, MSG_NOSIGNAL) != 6) error = errno;
    last = fd;
  }
  fprintf(stream, "%d\n", error);
  return last;
}

static void end_or_read(FILE *stream, char how, int fd) {
  struct linger now = {1, 0};
  char byte;
  if (how == 'L') {
    struct pollfd wanted = {.fd = fd, .events = POLLIN};
    ssize_t got = poll(&wanted, 1, 10000) == 1 ? recv(fd, &byte, 1, 0) : -1;
    if (got < 0)
      fprintf(stream, "%d\n", errno);
    else
      fputs(got ? "data\n" : "end\n", stream);
    return;
  }
  if (how == 'R') setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close(fd);
  fputs("done\n", stream);
}

static void *serve(void *argument) {
  int fd = (int)(intptr_t)argument, last = -1;
  FILE *in = fdopen(fd, "r"), *out = fdopen(dup(fd), "w");
  char line[256];
  while (fgets(line, sizeof line, in)) {
    if (line[0] == 'C')
      last = connect_back(out, line);
    else if (strchr("ERL", line[0]) && line[1] == '\n')
      end_or_read(out, line[0], last);
    else
      fputs(line, out);
    fflush(out);
  }
  fclose(in);
  fclose(out);
  return 0;
}

static void *accept_all(void *argument) {
  for (;;) {
    pthread_t thread;
    int fd = accept(listener, 0, 0);
    if (fd < 0 && errno != EINTR && errno != ECONNABORTED) return argument;
    if (fd >= 0 && pthread_create(&thread, 0, serve, (void *)(intptr_t)fd) == 0) pthread_detach(thread);
  }
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  struct sockaddr_in address = at(argv[1], atoi(argv[3]));
  char line[64];
  int on = 1;
  pthread_t thread;
  source = argv[2];
  signal(SIGPIPE, SIG_IGN);
  listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 64) != 0) {
    perror("server");
    return 1;
  }
  if (pthread_create(&thread, 0, accept_all, 0) != 0) return 1;
  puts("listening");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    struct sock_filter drop = {BPF_RET | BPF_K, 0, 0, 0};
    struct sock_fprog program = {1, &drop};
    if (!strcmp(line, "hold\n")) setsockopt(listener, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
    if (!strcmp(line, "go\n")) setsockopt(listener, SOL_SOCKET, SO_DETACH_FILTER, &on, sizeof on);
    /* Also wakes the thread in accept, which would keep the listener otherwise. */
    if (!strcmp(line, "refuse\n")) shutdown(listener, SHUT_RDWR);
    puts("done");
    fflush(stdout);
  }
  return 0;
}
