#include "shim.h"

#include "complain.h"
#include "connect/marks.h"
#include "connect/waiting/waiting.h"
#include "files/files.h"
#include "libc.h"
#include "paths.h"
#include "pointer.h"
#include "process/pdeathsig.h"
#include "process/program.h"
#include "room.h"
#include "sockets.h"
#include "table.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { UNKNOWN, STARTING, ACTIVE, INACTIVE };
static _Atomic int state = UNKNOWN;
static bool unusable;

static bool start(void) {
  static bool said;
  libc_resolve();
  pointer_start();
  complain_start();
  const char *directory = getenv(IM_ENV_DIR);
  if (!directory || !*directory || !paths_take(directory)) return false;
  if (!table_open(directory)) {
    paths_forget();
    unusable = true;
    complain_once(&said, "imaginary: " IM_ENV_DIR " names no usable table; this program runs without its cluster\n");
    return false;
  }
  sockets_open(directory);
  files_open(directory);
  program_start(paths_library());
  room_start_of_process();
  waiting_start_of_process();
  marks_start_of_process();
  pdeathsig_start_of_process();
  return true;
}

__attribute__((constructor)) static void load(void) {
  /* One complaint is enough: the programs that this one starts do not try again. */
  if (!shim_active() && unusable) unsetenv(IM_ENV_DIR);
}

bool shim_active(void) {
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
