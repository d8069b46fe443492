#include "room.h"

#include "libc.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

/* One connect that waits takes three, and the thread that waits takes six. */
#define ROOM 24
#define PER_DESCRIPTOR 4
#define LEFT 7 /* for what comes, and for a connect that then has to block */

static _Atomic int lock;
static int users;
static struct rlimit before; /* of the first of the users */
static rlim_t raised;        /* to this; 0: it could not be */
static rlim_t guests_hard;   /* 0: the kernel's */

static void enter(sigset_t *signals) {
  sigset_t all;
  int unlocked = 0;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, signals);
  while (!atomic_compare_exchange_weak(&lock, &unlocked, 1)) {
    unlocked = 0;
    sched_yield();
  }
}

static void leave(const sigset_t *signals) {
  atomic_store(&lock, 0);
  pthread_sigmask(SIG_SETMASK, signals, 0);
}

static bool get(struct rlimit *limit) { return libc_prlimit(0, RLIMIT_NOFILE, 0, limit) == 0; }

static bool set(rlim_t soft, rlim_t hard) {
  struct rlimit limit = {soft, hard};
  return libc_prlimit(0, RLIMIT_NOFILE, &limit, 0) == 0;
}

void room_start_of_process(void) {
  struct rlimit now;
  if (get(&now) && now.rlim_max > 4 * ROOM && now.rlim_cur > now.rlim_max - ROOM)
    set(now.rlim_max - ROOM, now.rlim_max);
}

bool room_wanted(int error) { return error == EMFILE || error == ENOBUFS; }

void room_open(void) {
  sigset_t signals;
  IM_KEEP_ERRNO;
  enter(&signals);
  if (users++ == 0) {
    raised = 0;
    if (get(&before) && before.rlim_cur < before.rlim_max && set(before.rlim_max, before.rlim_max))
      raised = before.rlim_max;
  }
  leave(&signals);
}

/* Not where the guest has set another limit meanwhile. */
static void restore(void) {
  struct rlimit now;
  if (raised && get(&now) && now.rlim_cur == raised) set(before.rlim_cur, now.rlim_max);
  users = 0;
  raised = 0;
}

bool room_left(int fd) {
  int probes[LEFT], count = 0, saved = errno;
  while (count < LEFT && (probes[count] = fcntl(fd, F_DUPFD_CLOEXEC, 0)) >= 0) count++;
  for (int i = 0; i < count; i++) libc_close(probes[i]);
  errno = count == LEFT ? saved : EMFILE;
  return count == LEFT;
}

bool room_is_open(void) { return users > 0; }

void room_close(void) {
  sigset_t signals;
  IM_KEEP_ERRNO;
  enter(&signals);
  if (users == 1)
    restore();
  else if (users)
    users--;
  leave(&signals);
}

void room_after_fork(void) {
  atomic_store(&lock, 0);
  if (users) restore();
}

/* The limit that the kernel gets for the guest's. */
static struct rlimit widened(const struct rlimit *limit, rlim_t hard) {
  struct rlimit wide = *limit;
  if (limit->rlim_max < hard) {
    rlim_t wanted = limit->rlim_max * PER_DESCRIPTOR + ROOM;
    wide.rlim_max = wanted < hard ? wanted : hard;
  }
  if (wide.rlim_max > 4 * ROOM && wide.rlim_cur > wide.rlim_max - ROOM) wide.rlim_cur = wide.rlim_max - ROOM;
  return wide;
}

int room_set(const struct rlimit *limit) {
  struct rlimit now, wide;
  sigset_t signals;
  int result = -1;
  /* A hard limit was given up for good, unless the process may raise it. */
  if (guests_hard && limit->rlim_max > guests_hard && geteuid() != 0) {
    return libc_fail(limit->rlim_cur > limit->rlim_max ? EINVAL : EPERM);
  }
  enter(&signals);
  bool plain = limit->rlim_cur > limit->rlim_max || !get(&now);
  if (!plain) wide = widened(limit, now.rlim_max);
  if (plain)
    result = libc_prlimit(0, RLIMIT_NOFILE, limit, 0);
  else if ((result = libc_prlimit(0, RLIMIT_NOFILE, &wide, 0)) == 0) {
    guests_hard = wide.rlim_max > limit->rlim_max ? limit->rlim_max : 0;
    if (users) raised = 0;
  }
  leave(&signals);
  return result;
}

void room_shown(struct rlimit *limit) {
  sigset_t signals;
  enter(&signals);
  if (users && raised && limit->rlim_cur == raised) limit->rlim_cur = before.rlim_cur;
  if (guests_hard && limit->rlim_max > guests_hard) limit->rlim_max = guests_hard;
  if (limit->rlim_cur > limit->rlim_max) limit->rlim_cur = limit->rlim_max;
  leave(&signals);
}
