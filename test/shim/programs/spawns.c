/* spawns PROGRAM ARGUMENTS...: starts it by posix_spawnp with no environment but PATH, and exits as it does. */
#include "case.h"
#include <spawn.h>

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  char *clean[] = {"PATH=/usr/bin:/bin", 0};
  pid_t pid;
  int status;
  CHECK(posix_spawnp(&pid, argv[1], 0, 0, argv + 1, clean) == 0);
  CHECK(waitpid(pid, &status, 0) == pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 99;
}
