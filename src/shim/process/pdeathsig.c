#include "pdeathsig.h"

#include "core/private_fd.h"
#include "core/libc.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

static _Atomic int wanted;
static _Atomic int watched = -1; /* the descriptor that is readable at the parent's end */
static atomic_bool watching;
static pid_t process; /* a vfork child shares all this, and can have no thread of its own */

static int parent_descriptor(pid_t parent) {
  struct im_private_fd kept;
  int fd = (int)syscall(SYS_pidfd_open, parent, 0);
  return private_fd_move(fd, &kept) ? kept.fd : -1;
}

/* All of them have one inode: a guest may have put something else at the number, but hardly another one. */
static bool is_parent_descriptor(int fd) {
  char path[32] = "/proc/self/fd/", digits[12], text[32] = "";
  size_t length = strlen(path), count = 0;
  for (int rest = fd; count == 0 || rest; rest /= 10) digits[count++] = (char)('0' + rest % 10);
  while (count) path[length++] = digits[--count];
  return readlink(path, text, sizeof text - 1) > 0 && strstr(text, "[pidfd]");
}

/* The guest may close the descriptor; then it is opened again while the parent is there. */
static void *run(void *argument) {
  pid_t parent = (pid_t)(intptr_t)argument;
  while (getppid() == parent) {
    struct pollfd wait = {.fd = atomic_load(&watched), .events = POLLIN};
    if (poll(&wait, 1, -1) < 0 || getppid() != parent) continue;
    if (is_parent_descriptor(wait.fd)) continue;
    int again = parent_descriptor(parent);
    if (again < 0) break;
    atomic_store(&watched, again);
  }
  int fd = atomic_exchange(&watched, -1), signal = atomic_load(&wanted);
  if (fd >= 0 && is_parent_descriptor(fd)) libc_close(fd);
  atomic_store(&watching, false);
  if (signal) kill(getpid(), signal);
  return 0;
}

static bool watch(void) {
  pthread_t thread;
  pthread_attr_t attributes;
  sigset_t all, before;
  pid_t parent = getppid();
  int fd = parent_descriptor(parent);
  if (fd < 0 || pthread_attr_init(&attributes) != 0) return false;
  atomic_store(&watched, fd);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, 256 * 1024);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  bool started = pthread_create(&thread, &attributes, run, (void *)(intptr_t)parent) == 0;
  pthread_sigmask(SIG_SETMASK, &before, 0);
  pthread_attr_destroy(&attributes);
  if (!started) libc_close(atomic_exchange(&watched, -1));
  return started;
}

int pdeathsig_set(unsigned long signal) {
  if (signal >= NSIG) return libc_fail(EINVAL);
  int saved = errno;
  if (getpid() == process) {
    if (!signal || atomic_exchange(&watching, true) || watch()) {
      atomic_store(&wanted, (int)signal);
      errno = saved;
      return 0;
    }
    atomic_store(&watching, false);
  }
  return libc_fail(EPERM);
}

int pdeathsig_get(void) { return getpid() == process ? atomic_load(&wanted) : 0; }

/* As the kernel does, a child starts without. */
static void after_fork_in_child(void) {
  IM_KEEP_ERRNO;
  int fd = atomic_exchange(&watched, -1);
  if (fd >= 0 && is_parent_descriptor(fd)) libc_close(fd);
  atomic_store(&watching, false);
  atomic_store(&wanted, 0);
  process = getpid();
}

void pdeathsig_start_of_process(void) {
  process = getpid();
  IM_ATFORK(0, 0, after_fork_in_child);
}
