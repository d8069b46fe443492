#include "paths.h"

#include "libc.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>

static char run_directory[PATH_MAX];
static char library[PATH_MAX];

static bool copy(char *to, const char *from) {
  size_t size = from ? strlen(from) + 1 : 0;
  if (size < 2 || size > PATH_MAX || from[0] != '/') return false;
  memcpy(to, from, size);
  return true;
}

bool paths_take(const char *directory) {
  Dl_info self;
  if (!copy(run_directory, directory)) return false;
  if (dladdr((void *)(uintptr_t)&paths_take, &self)) copy(library, self.dli_fname);
  return true;
}

void paths_forget(void) { run_directory[0] = library[0] = 0; }

const char *paths_directory(void) { return run_directory; }

const char *paths_library(void) { return library; }
