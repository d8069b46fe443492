/*
 * fork_pending HOST PORT [apart]: a process that forks, forks with vfork and spawns while a connect of its own is
 * pending. `apart`: the supervisor makes the connection, and the child does not get it.
 */
#include "case.h"
#include <spawn.h>
extern char **environ;

static int status_of(pid_t child) {
  int status = -1;
  CHECK(child > 0 && waitpid(child, &status, 0) == child);
  return status;
}

int main(int argc, char **argv) {
  bool apart = argc == 4;
  if (argc < 3) return 2;
  struct sockaddr_in to = resolve(argv[1], atoi(argv[2]));
  int descriptors = open_descriptors(), before_child, gate[2], ready[2];
  int fd = connecting(to);
  before_child = open_descriptors();
  CHECK(pipe(gate) == 0 && pipe(ready) == 0);
  pid_t child = fork();
  if (child == 0) {
    /* The child has nothing of the helper's. */
    CHECK(open_descriptors() < before_child + 4, "%d", open_descriptors());
    CHECK(threads_now() == 1);
    CHECK(write(ready[1], "", 1) == 1);
    char go;
    CHECK(read(gate[0], &go, 1) == 1);
    if (!apart) ping(fd); /* the parent's connection is its own too */
    int own = tcp(SOCK_NONBLOCK);
    connect_to(own, to);
    ping(own);
    _exit(0);
  }
  char byte;
  CHECK(read(ready[0], &byte, 1) == 1);
  pid_t quick = vfork();
  if (quick == 0) {
    close(fd); /* the child's copy only */
    execl("/bin/true", "true", (char *)0);
    _exit(9);
  }
  CHECK(status_of(quick) == 0);
  char *arguments[] = {"true", 0};
  CHECK(posix_spawn(&quick, "/bin/true", 0, 0, arguments, environ) == 0 && status_of(quick) == 0);
  struct pollfd wanted = {.fd = fd, .events = POLLOUT};
  CHECK(poll(&wanted, 1, 20) == 0, "the vfork child has closed the parent's connect");
  say("pending");
  wait_for(fd, POLLOUT);
  CHECK(so_error(fd) == 0);
  ping(fd);
  CHECK(write(gate[1], "", 1) == 1);
  CHECK(status_of(child) == 0, "child failed");
  ping(fd);
  for (int i = 0; i < 2; i++) close(gate[i]), close(ready[i]);
  close(fd);
  wait_until_quiet(descriptors, 1);
  say("ok");
  return 0;
}
