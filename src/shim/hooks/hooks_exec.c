#include "process/environment.h"
#include "files/files.h"
#include "hook.h"
#include "process/program.h"

#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

HOOK(int, execve, (const char *path, char *const argv[], char *const envp[])) {
  IM_FILE(real, AT_FDCWD, path)
  IM_ENVIRONMENT(complete, envp, program_library(real))
  return libc_execve(real, argv, complete);
}

HOOK(int, execv, (const char *path, char *const argv[])) { return hook_execve(path, argv, environ); }

/* A name without a slash is looked for in PATH, and is no path. */
static const char *named(const char *file) { return file && strchr(file, '/') ? file : 0; }

HOOK(int, execvpe, (const char *file, char *const argv[], char *const envp[])) {
  IM_FILE(real, AT_FDCWD, named(file))
  if (real) file = real;
  IM_ENVIRONMENT(complete, envp, program_library_found(file))
  return libc_execvpe(file, argv, complete);
}

HOOK(int, execvp, (const char *file, char *const argv[])) { return hook_execvpe(file, argv, environ); }

HOOK(int, fexecve, (int fd, char *const argv[], char *const envp[])) {
  IM_ENVIRONMENT(complete, envp, program_library_of(fd))
  return libc_fexecve(fd, argv, complete);
}

HOOK(int, execveat, (int dir, const char *path, char *const argv[], char *const envp[], int flags)) {
  IM_FILE(real, dir, path)
  IM_ENVIRONMENT(complete, envp, program_library_at(dir, real))
  return libc_execveat(dir, real, argv, complete, flags);
}

static size_t count_arguments(const char *first, va_list rest) {
  size_t count = 1;
  if (first)
    while (va_arg(rest, char *)) count++;
  return count;
}

/* `list` is the va_list behind `first`; afterwards it stands behind the NULL that ends the arguments. */
#define GATHER(argv, first, list) \
  va_list list; \
  va_start(list, first); \
  char *argv[count_arguments(first, list) + 1]; \
  va_end(list); \
  va_start(list, first); \
  argv[0] = (char *)(uintptr_t)first; \
  for (size_t at_ = 0; argv[at_]; at_++) argv[at_ + 1] = va_arg(list, char *);

HOOK(int, execl, (const char *path, const char *first, ...)) {
  GATHER(argv, first, list)
  va_end(list);
  return hook_execve(path, argv, environ);
}

HOOK(int, execlp, (const char *file, const char *first, ...)) {
  GATHER(argv, first, list)
  va_end(list);
  return hook_execvpe(file, argv, environ);
}

HOOK(int, execle, (const char *path, const char *first, ...)) {
  GATHER(argv, first, list)
  char *const *envp = va_arg(list, char *const *);
  va_end(list);
  return hook_execve(path, argv, envp);
}

HOOK(int, posix_spawn,
     (pid_t * pid, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes,
      char *const argv[], char *const envp[])) {
  IM_FILE(real, AT_FDCWD, path)
  IM_ENVIRONMENT(complete, envp, program_library(real))
  return libc_posix_spawn(pid, real, actions, attributes, argv, complete);
}

HOOK(int, posix_spawnp,
     (pid_t * pid, const char *file, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes,
      char *const argv[], char *const envp[])) {
  IM_FILE(real, AT_FDCWD, named(file))
  if (real) file = real;
  IM_ENVIRONMENT(complete, envp, program_library_found(file))
  return libc_posix_spawnp(pid, file, actions, attributes, argv, complete);
}
