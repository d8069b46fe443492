/*
 * accepts ADDRESS PORT: a port that is accepted from in every way at once: by threads that block, by forked workers
 * that block, and by an edge-triggered epoll loop on a second listener (SO_REUSEPORT). Clients (swarm.c) say who they
 * are, which must be what accept, getpeername and getsockname show. A line on standard input ends it; it tells how many
 * each way has accepted, and no descriptor may be left.
 */
#include "case.h"

#include <sys/mman.h>
#include <sys/prctl.h>

#define THREADS 8
#define WORKERS 8

enum { BY_THREADS, BY_WORKERS, BY_EPOLL, WAYS };
static _Atomic int *accepted; /* shared with the workers */
static int port, blocking, edge;
static _Atomic int ending; /* the listeners are about to be shut down */
static const char *own;

/* One line, `ADDRESS:PORT` as the client sees itself. */
static void serve(int fd, const struct sockaddr_in *from) {
  char line[64] = "", text[64];
  struct sockaddr_in peer = name_of(fd, getpeername);
  for (size_t size = 0; !strchr(line, '\n');) {
    ssize_t got = recv(fd, line + size, sizeof line - 1 - size, 0);
    CHECK(got > 0, "%s", line);
    size += (size_t)got;
  }
  *strchr(line, '\n') = 0;
  CHECK(!strcmp(line, show(&peer, text)), "%s is shown as %s", line, text);
  CHECK(!from || same(*from, peer), "accept shows %s", show(from, text));
  CHECK(same(name_of(fd, getsockname), at(own, port)));
  CHECK(send(fd, "ok\n", 3, MSG_NOSIGNAL) == 3);
  close(fd);
}

static int open_listener(int flags) {
  int on = 1, fd = tcp(flags | SOCK_CLOEXEC);
  CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0);
  CHECK(bind_to(fd, at("0.0.0.0", port)) == 0 && listen(fd, 256) == 0);
  return fd;
}

/* Alternately with and without an address. Until the listener is shut down. */
static void *block(void *argument) {
  int way = (int)(intptr_t)argument;
  for (unsigned turn = 0;; turn++) {
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    int fd = turn % 2 ? accept4(blocking, 0, 0, SOCK_CLOEXEC) : accept(blocking, (struct sockaddr *)&from, &size);
    if (fd < 0 && errno == EINVAL) return argument;
    CHECK(fd >= 0);
    CHECK(fcntl(fd, F_GETFD) == (turn % 2 ? FD_CLOEXEC : 0) && !(fcntl(fd, F_GETFL) & O_NONBLOCK));
    serve(fd, turn % 2 ? 0 : &from);
    accepted[way]++;
  }
}

static void *edges(void *argument) {
  int set = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN | EPOLLET}, got;
  CHECK(epoll_ctl(set, EPOLL_CTL_ADD, edge, &event) == 0);
  while (epoll_wait(set, &got, 1, -1) == 1 && !(got.events & EPOLLHUP)) {
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    for (int fd; (fd = accept4(edge, (struct sockaddr *)&from, &size, SOCK_NONBLOCK)) >= 0; accepted[BY_EPOLL]++) {
      CHECK(fcntl(fd, F_GETFD) == 0 && fcntl(fd, F_GETFL) & O_NONBLOCK);
      fcntl(fd, F_SETFL, O_RDWR);
      serve(fd, &from);
    }
    /* The last client may have its answer, and the listener be shut down, before this loop asks again. */
    CHECK(errno == EAGAIN || (ending && errno == EINVAL));
  }
  close(set);
  return argument;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  own = argv[1];
  port = atoi(argv[2]);
  accepted = mmap(0, sizeof *accepted * WAYS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(accepted != MAP_FAILED);
  pthread_t threads[THREADS + 1];
  pid_t workers[WORKERS];
  char line[16];
  int status;
  blocking = open_listener(0);
  edge = open_listener(SOCK_NONBLOCK);
  int descriptors = open_descriptors();
  for (int i = 0; i < WORKERS; i++)
    if ((workers[i] = fork()) == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      close(edge);
      int before = open_descriptors();
      block((void *)BY_WORKERS);
      CHECK(open_descriptors() == before, "%d descriptors, not %d", open_descriptors(), before);
      _exit(0);
    }
  for (int i = 0; i < THREADS; i++) CHECK(pthread_create(&threads[i], 0, block, (void *)BY_THREADS) == 0);
  CHECK(pthread_create(&threads[THREADS], 0, edges, 0) == 0);
  say("listening");
  CHECK(fgets(line, sizeof line, stdin));
  ending = 1;
  CHECK(shutdown(blocking, SHUT_RDWR) == 0 && shutdown(edge, SHUT_RDWR) == 0);
  for (int i = 0; i <= THREADS; i++) pthread_join(threads[i], 0);
  for (int i = 0; i < WORKERS; i++) CHECK(waitpid(workers[i], &status, 0) == workers[i] && status == 0, "%x", status);
  wait_until_quiet(descriptors, 1);
  printf("%d %d %d\n", accepted[BY_THREADS], accepted[BY_WORKERS], accepted[BY_EPOLL]);
  return 0;
}
