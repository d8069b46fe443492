#include "program.h"

#include "core/paths.h"
#include "core/libc.h"
#include "core/libc_files.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GLIBC_BUILD "shim-glibc.so"
#define MUSL_BUILD "shim-musl.so"
#ifdef __GLIBC__
#define OTHER_BUILD MUSL_BUILD
#else
#define OTHER_BUILD GLIBC_BUILD
#endif

/* The kernel follows so many scripts that interpret scripts. */
#define MOST_SCRIPTS 5

static char other[PATH_MAX];

void program_start(const char *library) {
  const char *slash = strrchr(library, '/');
  size_t folder = slash ? (size_t)(slash + 1 - library) : 0;
  if (!slash || folder + sizeof OTHER_BUILD > sizeof other) return;
  memcpy(other, library, folder);
  memcpy(other + folder, OTHER_BUILD, sizeof OTHER_BUILD);
  if (libc_access(other, R_OK) != 0) other[0] = 0;
}

/* Only a file: the kernel refuses to start anything else, without opening it. A FIFO would wait for its writer. */
static int open_program(int directory, const char *path) {
  struct stat status;
  int fd = libc_openat(directory, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
  if (fd < 0 || (fstat(fd, &status) == 0 && S_ISREG(status.st_mode))) return fd;
  libc_close(fd);
  return -1;
}

/* The dynamic loader that the file names; false: not an ELF program of this machine, or none named. */
static bool loader_of(int fd, char *loader, size_t size) {
  ElfW(Ehdr) header;
  if (pread(fd, &header, sizeof header, 0) != sizeof header || memcmp(header.e_ident, ELFMAG, SELFMAG) ||
      header.e_phentsize != sizeof(ElfW(Phdr)))
    return false;
  for (int i = 0; i < header.e_phnum && i < 64; i++) {
    ElfW(Phdr) part;
    off_t at = (off_t)(header.e_phoff + (size_t)i * sizeof part);
    if (pread(fd, &part, sizeof part, at) != sizeof part) return false;
    if (part.p_type != PT_INTERP) continue;
    ssize_t got = pread(fd, loader, part.p_filesz < size ? part.p_filesz : size - 1, (off_t)part.p_offset);
    if (got <= 0) return false;
    loader[got] = 0;
    return true;
  }
  return false;
}

/* The interpreter of a script, as the kernel reads its first line. */
static bool interpreter_of(int fd, char *path, size_t size) {
  ssize_t got = pread(fd, path, size - 1, 0);
  if (got < 3 || path[0] != '#' || path[1] != '!') return false;
  path[got] = 0;
  size_t start = 2 + strspn(path + 2, " \t");
  size_t length = strcspn(path + start, " \t\n");
  memmove(path, path + start, length);
  path[length] = 0;
  return length > 0;
}

const char *program_library_of(int fd) {
  char text[256];
  const char *choice = paths_library();
  IM_KEEP_ERRNO;
  int at = fd;
  if (!other[0]) return choice;
  for (int scripts = 0; at >= 0 && scripts < MOST_SCRIPTS; scripts++) {
    if (loader_of(at, text, sizeof text)) {
      bool musl = strstr(text, "/ld-musl-") != 0;
      bool own = musl == (strcmp(OTHER_BUILD, GLIBC_BUILD) == 0);
      if (!own) choice = other;
      break;
    }
    if (!interpreter_of(at, text, sizeof text)) break;
    if (at != fd) libc_close(at);
    at = open_program(AT_FDCWD, text);
  }
  if (at >= 0 && at != fd) libc_close(at);
  return choice;
}

const char *program_library_at(int directory, const char *path) {
  IM_KEEP_ERRNO;
  int fd = other[0] && path ? open_program(directory, path) : -1;
  const char *choice = fd >= 0 ? program_library_of(fd) : paths_library();
  if (fd >= 0) libc_close(fd);
  return choice;
}

const char *program_library(const char *path) { return program_library_at(AT_FDCWD, path); }

const char *program_library_found(const char *file) {
  const char *folders = getenv("PATH");
  if (!other[0] || !file || strchr(file, '/')) return program_library(file);
  if (!folders) folders = "/bin:/usr/bin";
  size_t name = strlen(file) + 1, room = strlen(folders) + 1 + name;
  char path[room < PATH_MAX ? room : PATH_MAX]; /* as libc has it on the stack */
  for (;; folders++) {
    size_t folder = strcspn(folders, ":");
    if (folder + 1 + name <= sizeof path) {
      memcpy(path, folders, folder);
      if (folder) path[folder] = '/';
      memcpy(path + folder + (folder ? 1 : 0), file, name);
      int saved = errno;
      bool there = libc_access(path, X_OK) == 0;
      errno = saved;
      if (there) return program_library(path);
    }
    folders += folder;
    if (!*folders) return paths_library();
  }
}
