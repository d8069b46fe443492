/*
 * starts HOSTNAME: starts itself in every way a program can, with an environment that has lost the shim. Each child
 * says whether it is a guest still. `starts - KIND` is the child.
 */
#include "case.h"
#include <spawn.h>
extern char **environ;

static const char *self, *hostname;

static int child(const char *wanted) {
  char name[256] = "";
  const char *kept = getenv("KEPT");
  gethostname(name, sizeof name);
  if (strcmp(name, wanted)) return fprintf(stderr, "host name is '%s'\n", name), 1;
  if (!getenv("LD_PRELOAD") || !getenv("IMAGINARY_DIR")) return fprintf(stderr, "variables are missing\n"), 1;
  return kept && !strcmp(kept, "yes") ? 0 : (fprintf(stderr, "KEPT is lost\n"), 1);
}

enum { EXECVE, EXECV, EXECVP, EXECVPE, EXECL, EXECLP, EXECLE, FEXECVE, SPAWN, SPAWNP, KINDS };
static const char *const kinds[KINDS] = {"execve", "execv",  "execvp",  "execvpe",     "execl",
                                         "execlp", "execle", "fexecve", "posix_spawn", "posix_spawnp"};

static void start(int kind) {
  char *arguments[] = {"starts", "-", (char *)(uintptr_t)hostname, 0}, *clean[] = {"PATH=/bin:/usr/bin", "KEPT=yes", 0};
  if (kind == EXECVE) execve(self, arguments, clean);
  if (kind == EXECVPE) execvpe(self, arguments, clean);
  if (kind == EXECLE) execle(self, "starts", "-", hostname, (char *)0, clean);
  if (kind == FEXECVE) fexecve(open(self, O_RDONLY), arguments, clean);
  clearenv();
  setenv("KEPT", "yes", 1);
  if (kind == EXECV) execv(self, arguments);
  if (kind == EXECVP) execvp(self, arguments);
  if (kind == EXECL) execl(self, "starts", "-", hostname, (char *)0);
  if (kind == EXECLP) execlp(self, "starts", "-", hostname, (char *)0);
}

static int status_of(pid_t pid) {
  int status = -1;
  CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
  return status;
}

int main(int argc, char **argv) {
  if (argc == 3 && !strcmp(argv[1], "-")) return child(argv[2]);
  if (argc != 2) return 2;
  static char path[4096], *clean[] = {"KEPT=yes", 0};
  CHECK(readlink("/proc/self/exe", path, sizeof path - 1) > 0);
  self = path;
  hostname = argv[1];
  char *arguments[] = {"starts", "-", argv[1], 0};
  for (int round = 0; round < 2; round++) {
    for (int kind = 0; kind <= FEXECVE; kind++) {
      /* In vfork children nothing may be allocated or changed, so only what takes an environment. */
      bool takes = kind == EXECVE || kind == EXECVPE || kind == EXECLE;
      if (round && !takes) continue;
      pid_t pid = round ? vfork() : fork();
      if (pid == 0) {
        start(kind);
        _exit(9);
      }
      CHECK(status_of(pid) == 0, "%s after %s", kinds[kind], round ? "vfork" : "fork");
    }
  }
  pid_t pid;
  CHECK(posix_spawn(&pid, self, 0, 0, arguments, clean) == 0 && status_of(pid) == 0);
  CHECK(posix_spawnp(&pid, self, 0, 0, arguments, clean) == 0 && status_of(pid) == 0);
  CHECK(posix_spawn(&pid, "/no/such/program", 0, 0, arguments, clean) == ENOENT);
  CHECK(execve("/no/such/program", arguments, clean) == -1 && errno == ENOENT);
  /* Another preloaded library stays, and a complete environment is passed as it is. */
  char other[5000];
  char *with_other[] = {"KEPT=yes", other, 0};
  snprintf(other, sizeof other, "LD_PRELOAD=libm.so.6");
  CHECK(posix_spawn(&pid, self, 0, 0, arguments, with_other) == 0 && status_of(pid) == 0);
  setenv("KEPT", "yes", 1);
  CHECK(posix_spawn(&pid, self, 0, 0, arguments, environ) == 0 && status_of(pid) == 0);
  say("ok");
  return 0;
}
