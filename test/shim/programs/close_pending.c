/*
 * close_pending HOST PORT: a guest that gives up a pending connect and reuses the descriptor's number for something
 * else.
 */
#include "case.h"
#include <sys/syscall.h>

static ino_t inode(int fd) {
  struct stat status;
  CHECK(fstat(fd, &status) == 0);
  return status.st_ino;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  struct sockaddr_in to = resolve(argv[1], atoi(argv[2]));
  int null = open("/dev/null", O_RDWR), pipes[2], descriptors = open_descriptors();
  CHECK(pipe(pipes) == 0);
  int closed = connecting(to), replaced = connecting(to), replaced3 = connecting(to), ranged = connecting(to);
  int kept = connecting(to), twice = connecting(to);
  CHECK(close(closed) == 0 && dup(null) == closed);
  CHECK(dup2(pipes[0], replaced) == replaced);
  CHECK(dup3(pipes[1], replaced3, O_CLOEXEC) == replaced3);
  /* Behind the shim's back. */
  CHECK(syscall(SYS_close, ranged) == 0);
  int behind = dup(null);
  CHECK(close(twice) == 0 && connecting(to) == twice);
  ino_t devices = inode(null), input = inode(pipes[0]), output = inode(pipes[1]);
  say("pending");
  ping(kept);
  ping(twice);
  CHECK(inode(closed) == devices && inode(replaced) == input && inode(replaced3) == output && inode(behind) == devices);
  int all[] = {closed, replaced, replaced3, behind, kept, twice, pipes[0], pipes[1]};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) CHECK(close(all[i]) == 0);
  if (behind != ranged) close(ranged);
  wait_until_quiet(descriptors, 1);
  CHECK(fcntl(closed, F_GETFD) == -1);
  say("ok");
  return 0;
}
