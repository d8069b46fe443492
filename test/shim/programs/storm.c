/*
 * storm HOST PORT SECONDS: threads that connect with and without blocking, give up, reuse numbers, and fork and start
 * programs, all at the same time. Every connection must be to the echo server and every other descriptor what it was.
 */
#include "case.h"
#include <spawn.h>
extern char **environ;

static struct sockaddr_in to;
static double end;
static _Atomic int connections, given_up, children;

static void *blocks(void *argument) {
  while (now_ms() < end) {
    int fd = tcp(SOCK_CLOEXEC);
    CHECK(connect_to(fd, to) == 0);
    ping(fd);
    close(fd);
    connections++;
  }
  return argument;
}

static void *waits(void *argument) {
  int set = epoll_create1(EPOLL_CLOEXEC);
  while (now_ms() < end) {
    int fd = tcp(SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct epoll_event event = {.events = EPOLLOUT | EPOLLET, .data.fd = fd}, got;
    CHECK(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0);
    epoll_wait(set, &got, 1, 0);
    int result = connect_to(fd, to);
    CHECK(result == 0 || errno == EINPROGRESS);
    int count;
    /* A SIGCHLD that comes while posix_spawn blocks signals interrupts another thread, natively too. */
    while ((count = epoll_wait(set, &got, 1, 20000)) == -1 && errno == EINTR) continue;
    CHECK(count == 1 && got.data.fd == fd, "%d: %d, not %d: %x", count, got.data.fd, fd, got.events);
    CHECK(so_error(fd) == 0);
    ping(fd);
    close(fd);
    connections++;
  }
  return argument;
}

/* Pipes get the numbers of connects that were given up; a swap at the wrong number would break a pipe. */
static void *gives_up(void *argument) {
  unsigned seed = (unsigned)(uintptr_t)argument;
  while (now_ms() < end) {
    int fd = tcp(SOCK_NONBLOCK | SOCK_CLOEXEC), pipes[2];
    char text[4] = "";
    connect_to(fd, to);
    if (rand_r(&seed) % 2) usleep((unsigned)rand_r(&seed) % 300);
    close(fd);
    CHECK(pipe2(pipes, O_CLOEXEC) == 0);
    if (rand_r(&seed) % 2) usleep((unsigned)rand_r(&seed) % 300);
    CHECK(write(pipes[1], "abc", 4) == 4 && read(pipes[0], text, 4) == 4 && !strcmp(text, "abc"));
    CHECK(close(pipes[0]) == 0 && close(pipes[1]) == 0);
    given_up++;
  }
  return argument;
}

static void *starts(void *argument) {
  char *arguments[] = {"true", 0};
  while (now_ms() < end) {
    pid_t pid;
    int status;
    if (children % 2) {
      pid = fork();
      if (pid == 0) {
        /* A child of a process with threads: only what may be called there. */
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        _exit(connect_to(fd, to) == 0 ? 0 : 1);
      }
    } else
      CHECK(posix_spawn(&pid, "/bin/true", 0, 0, arguments, environ) == 0);
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0, "%x", status);
    children++;
  }
  return argument;
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  void *(*const kinds[])(void *) = {blocks, waits, waits, gives_up, gives_up, starts};
  pthread_t threads[6];
  to = resolve(argv[1], atoi(argv[2]));
  int descriptors = open_descriptors();
  end = now_ms() + atof(argv[3]) * 1000;
  for (size_t i = 0; i < 6; i++) pthread_create(&threads[i], 0, kinds[i], (void *)(uintptr_t)(i + 1));
  for (size_t i = 0; i < 6; i++) pthread_join(threads[i], 0);
  wait_until_quiet(descriptors + 2, 1); /* the two epoll sets */
  printf("%d connections, %d given up, %d children\n", connections, given_up, children);
  say("ok");
  return 0;
}
