/*
 * swarm HOST PORT THREADS COUNT: each thread connects COUNT times, alternately with and without blocking, and tells
 * accepts.c who it is, as getsockname says.
 */
#include "case.h"

static struct sockaddr_in to;
static int turns;

static void *connects(void *argument) {
  for (int turn = 0; turn < turns; turn++) {
    char text[64], line[66], answer[8] = "";
    int error, fd = tcp(SOCK_CLOEXEC | (turn % 2 ? SOCK_NONBLOCK : 0));
    error = connect_to(fd, to) == 0 ? 0 : errno;
    CHECK(error == 0 || (turn % 2 && error == EINPROGRESS));
    wait_for(fd, POLLOUT);
    CHECK(so_error(fd) == 0);
    struct sockaddr_in self = name_of(fd, getsockname);
    CHECK(same(name_of(fd, getpeername), to));
    snprintf(line, sizeof line, "%s\n", show(&self, text));
    CHECK(send(fd, line, strlen(line), MSG_NOSIGNAL) == (ssize_t)strlen(line));
    wait_for(fd, POLLIN);
    CHECK(recv(fd, answer, sizeof answer, 0) == 3 && !strcmp(answer, "ok\n"), "%s", answer);
    close(fd);
  }
  return argument;
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  pthread_t threads[64];
  int count = atoi(argv[3]), descriptors = open_descriptors();
  to = resolve(argv[1], atoi(argv[2]));
  turns = atoi(argv[4]);
  for (int i = 0; i < count; i++) CHECK(pthread_create(&threads[i], 0, connects, 0) == 0);
  for (int i = 0; i < count; i++) pthread_join(threads[i], 0);
  wait_until_quiet(descriptors, 1);
  say("ok");
  return 0;
}
