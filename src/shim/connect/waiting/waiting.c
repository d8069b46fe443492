#include "waiting.h"

#include "connect/tcp.h"
#include "connect/watches.h"
#include "core/room.h"
#include "helper.h"
#include "placeholder.h"
#include "poller.h"
#include "steps.h"
#include "swap.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static pid_t process; /* the process of these threads; a child made by vfork has none */
static pid_t owner;   /* a vfork child shares this memory but not these descriptors */

/* ---- fork ---- */

static sigset_t signals_at_fork;

static void before_fork(void) {
  pending_lock(&signals_at_fork);
  pending_share();
}

static void after_fork_in_parent(void) {
  sigset_t signals = signals_at_fork;
  pending_unlock(&signals);
}

/*
 * The child has no helper. It gets the guest's socket back at once: the parent's helper works on the same socket, so
 * that it becomes connected here when it does there. The parent's epoll sets are shared and left alone.
 */
static void after_fork_in_child(void) {
  for (struct im_pending *pending; (pending = pending_pop());) {
    if (pending->stage != IM_STAGE_RETIRED && pending_stands_at(pending, pending->fd)) {
      int cloexec = fcntl(pending->fd, F_GETFD) & FD_CLOEXEC ? O_CLOEXEC : 0;
      if (private_fd_valid(&pending->real)) libc_dup3(pending->real.fd, pending->fd, cloexec);
      watches_mark(pending->fd, false);
    }
    if (pending->copied) swap_back_copies(pending);
    pending_release(pending);
  }
  room_after_fork();
  helper_after_fork();
  process = getpid();
  after_fork_in_parent();
}

void waiting_start_of_process(void) {
  process = getpid();
  IM_ATFORK(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* ---- the guest's calls ---- */

static void discard(struct im_pending *pending, int end) {
  IM_KEEP_ERRNO;
  if (end >= 0) libc_close(end);
  pending_release(pending);
}

static int begin(struct im_pending *pending, int fd) {
  int end = -1, status = fcntl(fd, F_GETFL), flags = fcntl(fd, F_GETFD);
  if (status < 0 || flags < 0 || !private_fd_copy(fd, &pending->real) || !placeholder_make(&end, &pending->waker) ||
      !helper_start() || (room_is_open() && !room_left(fd)) || !watches_mark(fd, true) || !steps_ask(pending)) {
    discard(pending, end);
    watches_mark(fd, false);
    return errno == EBADF ? EBADF : ENOBUFS;
  }
  swap_in(pending, fd, end, status, flags);
  pending_add(pending);
  poller_wake();
  return 0;
}

int waiting_start(int fd, const struct im_addr *to, uint64_t epoch, bool listed, int reply) {
  sigset_t signals;
  IM_KEEP_ERRNO;
  int result = ENOBUFS;
  pending_lock(&signals);
  if (owner != getpid()) owner = getpid();
  helper_check();
  struct im_pending *pending = pending_new();
  if (pending) {
    pending->to = *to;
    pending->epoch = epoch;
    pending->listed = listed;
    if (reply < 0 || private_fd_move(reply, &pending->reply))
      result = begin(pending, fd);
    else
      discard(pending, -1);
  } else if (reply >= 0)
    libc_close(reply);
  pending_unlock(&signals);
  return result;
}

void waiting_stay(void) {
  sigset_t signals;
  IM_KEEP_ERRNO;
  if (getpid() != process) return;
  pending_lock(&signals);
  if (owner != process) owner = process;
  helper_check();
  helper_stay();
  pending_unlock(&signals);
}

bool waiting_enter(int fd, int *real, struct im_guard *guard) {
  if (__builtin_expect(!watches_marked(fd), 1)) return false;
  IM_KEEP_ERRNO;
  struct im_pending *pending = 0;
  if (getpid() == owner) {
    pending_lock(&guard->signals);
    pending = pending_at(fd);
    if (pending)
      *real = pending->real.fd;
    else {
      watches_mark(fd, false);
      pending_unlock(&guard->signals);
    }
  }
  return pending != 0;
}

void waiting_leave(const struct im_guard *guard) {
  IM_KEEP_ERRNO;
  pending_unlock(&guard->signals);
}

void waiting_forget(int fd) {
  pending_forget(fd);
  watches_mark(fd, false);
}

void waiting_copied(int fd, int copy) {
  struct im_pending *pending = pending_at(fd);
  if (pending && watches_mark(copy, true)) pending->copied = true;
}

void waiting_give_up(int fd) {
  struct im_pending *pending = pending_at(fd);
  if (!pending) return;
  tcp_unanswered(pending->real.fd, poller_black_hole());
  swap_back(pending);
  pending->fd = -1;
  pending->stage = IM_STAGE_DEAD;
  poller_wake();
}
