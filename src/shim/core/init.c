#include "init.h"

#include "files/files.h"
#include "libc.h"
#include "process/pdeathsig.h"
#include "connect/pending.h"
#include "pointer.h"
#include "process/program.h"
#include "room.h"
#include "sockets.h"
#include "table.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { UNKNOWN, STARTING, ACTIVE, INACTIVE };
static _Atomic int state = UNKNOWN;
static char directory[PATH_MAX];
static char library[PATH_MAX];
static bool unusable;
static struct stat standard_error;

static bool copy(char *to, const char *from) {
  size_t size = from ? strlen(from) + 1 : 0;
  if (size < 2 || size > PATH_MAX || from[0] != '/') return false;
  memcpy(to, from, size);
  return true;
}

static bool start(void) {
  static bool said;
  libc_resolve();
  pointer_start();
  if (fstat(2, &standard_error) != 0) standard_error.st_ino = 0;
  const char *wanted = getenv(IM_ENV_DIR);
  if (!wanted || !*wanted) return false;
  if (!copy(directory, wanted)) return false;
  if (!table_open(directory)) {
    directory[0] = 0;
    unusable = true;
    im_complain(&said, "imaginary: " IM_ENV_DIR " names no usable table; this program runs without its cluster\n");
    return false;
  }
  sockets_open(directory);
  files_open(directory);
  Dl_info self;
  if (dladdr((void *)(uintptr_t)&im_active, &self)) copy(library, self.dli_fname);
  program_start(library);
  room_start_of_process();
  pending_start_of_process();
  pdeathsig_start_of_process();
  return true;
}

__attribute__((constructor)) static void load(void) {
  /* Said once is enough: the programs that this one starts do not try again. */
  if (!im_active() && unusable) unsetenv(IM_ENV_DIR);
}

bool im_active(void) {
  int now = atomic_load_explicit(&state, memory_order_acquire);
  if (__builtin_expect(now >= ACTIVE, 1)) return now == ACTIVE;
  int unknown = UNKNOWN;
  if (atomic_compare_exchange_strong(&state, &unknown, STARTING)) {
    int saved = errno;
    bool active = start();
    errno = saved;
    atomic_store_explicit(&state, active ? ACTIVE : INACTIVE, memory_order_release);
    return active;
  }
  while ((now = atomic_load_explicit(&state, memory_order_acquire)) < ACTIVE) sched_yield();
  return now == ACTIVE;
}

const char *im_directory(void) { return directory; }

const char *im_library(void) { return library; }

void im_complain(bool *said, const char *text) {
  struct stat now;
  if (__atomic_exchange_n(said, true, __ATOMIC_RELAXED)) return;
  if (!standard_error.st_ino || fstat(2, &now) != 0) return;
  if (now.st_ino != standard_error.st_ino || now.st_dev != standard_error.st_dev) return;
  struct pollfd room = {.fd = 2, .events = POLLOUT}; /* never wait for whoever reads it */
  if (poll(&room, 1, 0) != 1 || !(room.revents & POLLOUT)) return;
  if (write(2, text, strlen(text)) < 0) return;
}
