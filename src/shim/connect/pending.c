#include "pending.h"

#include "handoff.h"
#include "helper.h"
#include "placeholder.h"
#include "core/request.h"
#include "core/room.h"
#include "core/sockets.h"
#include "watches.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * One lock, taken only by processes with something pending, always with all signals blocked (connect and close may be
 * called in signal handlers) and never around anything that waits.
 */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct im_pending *inbox, *active, *unused;
static bool running;
static pid_t process; /* whose threads these are; a child made by vfork has none */
static bool staying;  /* the helper is not to end: it could not be started again */
static pid_t owner;   /* a vfork child shares this memory but not these descriptors */

static void lock_enter(sigset_t *signals) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, signals);
  pthread_mutex_lock(&lock);
}

static void lock_leave(const sigset_t *signals) {
  pthread_mutex_unlock(&lock);
  pthread_sigmask(SIG_SETMASK, signals, 0);
}

static struct im_pending *allocate(void) {
  const size_t size = 64 * 1024;
  if (!unused) {
    struct im_pending *slab = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (slab == MAP_FAILED) return 0;
    for (size_t i = 0; i < size / sizeof *slab; i++) {
      slab[i].next = unused;
      unused = &slab[i];
    }
  }
  struct im_pending *pending = unused;
  unused = pending->next;
  static uint32_t last_id;
  *pending = (struct im_pending){
      .fd = -1, .id = ++last_id, .real = IM_NONE, .waker = IM_NONE, .reply = IM_NONE, .unsent = IM_NONE};
  return pending;
}

static void release(struct im_pending *pending) {
  private_fd_close(&pending->real);
  private_fd_close(&pending->waker);
  private_fd_close(&pending->reply);
  private_fd_close(&pending->unsent);
  pending->stage = IM_STAGE_DEAD;
  pending->next = unused;
  unused = pending;
}

static bool stands_at(const struct im_pending *pending, int fd) {
  return fd >= 0 && private_fd_inode(fd) == pending->inode;
}

/* By its placeholder: the guest may have made duplicates. */
static struct im_pending *find(int fd) {
  ino_t inode = private_fd_inode(fd);
  for (int round = 0; round < 2 && inode; round++)
    for (struct im_pending *list = round ? active : inbox; list; list = list->next)
      if (list->inode == inode && list->stage != IM_STAGE_RETIRED && list->stage != IM_STAGE_DEAD) return list;
  return 0;
}

/* ---- fork ---- */

static sigset_t signals_at_fork;

static void before_fork(void) {
  lock_enter(&signals_at_fork);
  for (int round = 0; round < 2; round++)
    for (struct im_pending *list = round ? active : inbox; list; list = list->next) list->shared = true;
}

static void after_fork_in_parent(void) {
  sigset_t signals = signals_at_fork;
  lock_leave(&signals);
}

/*
 * The child has no helper. It gets the guest's socket back at once: the parent's helper works on the same socket, so it
 * becomes connected here when it does there. The parent's epoll sets are shared and left alone.
 */
static void after_fork_in_child(void) {
  for (int round = 0; round < 2; round++) {
    struct im_pending **list = round ? &active : &inbox;
    while (*list) {
      struct im_pending *pending = *list;
      *list = pending->next;
      if (pending->stage != IM_STAGE_RETIRED && stands_at(pending, pending->fd)) {
        int cloexec = fcntl(pending->fd, F_GETFD) & FD_CLOEXEC ? O_CLOEXEC : 0;
        if (private_fd_valid(&pending->real)) libc_dup3(pending->real.fd, pending->fd, cloexec);
        watches_mark(pending->fd, false);
      }
      if (pending->copied) pending_swap_copies(pending);
      release(pending);
    }
  }
  room_after_fork();
  if (running) helper_forget();
  running = staying = false;
  process = getpid();
  after_fork_in_parent();
}

void pending_start_of_process(void) {
  process = getpid();
  IM_ATFORK(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* ---- for the guest's threads ---- */

static void discard(struct im_pending *pending, int end) {
  int saved = errno;
  if (end >= 0) libc_close(end);
  release(pending);
  errno = saved;
}

struct im_request pending_request(const struct im_pending *pending) {
  int fd = pending->real.fd;
  uint32_t flags = IM_FLAG_NONBLOCK | (pending->listed ? IM_FLAG_LISTED : 0);
  struct im_request request = request_connect(sockets_cookie(fd), &pending->to, pending->epoch, flags);
  request.real_port = handoff_bound_port(fd);
  return request;
}

/*
 * The question is sent here and not by the helper: what is open for a moment has a low number, and a guest that closes
 * all descriptors in that moment and opens others would see one of them closed.
 */
static bool ask(struct im_pending *pending) {
  int ends[2];
  if (pending->reply.fd >= 0) return true; /* under way already */
  if (request_pair(ends) != 0) return false;
  struct im_request request = pending_request(pending);
  if (!private_fd_move(ends[0], &pending->reply)) {
    libc_close(ends[1]);
    return false;
  }
  if (request_send(-1, &request, ends[1], false) != 0) return private_fd_move(ends[1], &pending->unsent);
  libc_close(ends[1]);
  return true;
}

static int begin(struct im_pending *pending, int fd) {
  int end = -1, status = fcntl(fd, F_GETFL), flags = fcntl(fd, F_GETFD);
  if (status < 0 || flags < 0 || !private_fd_copy(fd, &pending->real) || !placeholder_make(&end, &pending->waker) ||
      (!running && !(running = helper_start())) || (room_is_open() && !room_left(fd)) || !watches_mark(fd, true) ||
      !ask(pending)) {
    discard(pending, end);
    watches_mark(fd, false);
    return errno == EBADF ? EBADF : ENOBUFS;
  }
  pending->fd = fd;
  pending->inode = private_fd_inode(end);
  if (!(status & O_NONBLOCK)) {
    fcntl(end, F_SETFL, fcntl(end, F_GETFL) & ~O_NONBLOCK);
    fcntl(pending->real.fd, F_SETFL, status | O_NONBLOCK);
  }
  watches_hide(fd);
  libc_dup3(end, fd, flags & FD_CLOEXEC ? O_CLOEXEC : 0);
  watches_show(fd);
  libc_close(end);
  pending->next = inbox;
  inbox = pending;
  helper_wake();
  return 0;
}

void pending_abandon(void) {
  for (int round = 0; round < 2; round++) {
    struct im_pending **list = round ? &active : &inbox;
    while (*list) {
      struct im_pending *pending = *list;
      *list = pending->next;
      if (pending->fd >= 0) watches_mark(pending->fd, false);
      release(pending);
    }
  }
  helper_forget();
  running = false;
}

int pending_start(int fd, const struct im_addr *to, uint64_t epoch, bool listed, int reply) {
  sigset_t signals;
  int saved = errno, result = ENOBUFS;
  lock_enter(&signals);
  if (owner != getpid()) owner = getpid();
  if (running && !helper_alive()) pending_abandon();
  struct im_pending *pending = allocate();
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
  lock_leave(&signals);
  errno = saved;
  return result;
}

void pending_stay(void) {
  sigset_t signals;
  int saved = errno;
  if (getpid() != process) return;
  lock_enter(&signals);
  if (owner != process) owner = process;
  if (running && !helper_alive()) pending_abandon();
  if (!running) running = helper_start();
  staying = running;
  lock_leave(&signals);
  errno = saved;
}

bool pending_enter(int fd, int *real, struct im_guard *guard) {
  if (__builtin_expect(!watches_marked(fd), 1)) return false;
  int saved = errno;
  struct im_pending *pending = 0;
  if (getpid() == owner) {
    lock_enter(&guard->signals);
    pending = find(fd);
    if (pending)
      *real = pending->real.fd;
    else {
      watches_mark(fd, false);
      lock_leave(&guard->signals);
    }
  }
  errno = saved;
  return pending != 0;
}

void pending_leave(const struct im_guard *guard) {
  int saved = errno;
  lock_leave(&guard->signals);
  errno = saved;
}

void pending_forget(int fd) {
  for (struct im_pending *list = inbox; list; list = list->next)
    if (list->fd == fd) list->fd = -1;
  for (struct im_pending *list = active; list; list = list->next)
    if (list->fd == fd) list->fd = -1;
  watches_mark(fd, false);
}

void pending_copied(int fd, int copy) {
  struct im_pending *pending = find(fd);
  if (pending && watches_mark(copy, true)) pending->copied = true;
}

void pending_give_back(int fd) {
  struct im_pending *pending = find(fd);
  if (!pending) return;
  pending_swap(pending);
  pending->fd = -1;
  pending->stage = IM_STAGE_DEAD;
  helper_wake();
}

/* ---- for the helper ---- */

void pending_helper_enter(void) { pthread_mutex_lock(&lock); }

void pending_helper_leave(void) { pthread_mutex_unlock(&lock); }

struct im_pending *pending_take(void) {
  struct im_pending *pending = inbox;
  if (!pending) return 0;
  inbox = pending->next;
  pending->previous = 0;
  pending->next = active;
  if (active) active->previous = pending;
  active = pending;
  return pending;
}

struct im_pending *pending_first(void) { return active; }

/* The socket takes over what the guest set at the placeholder meanwhile. */
static void put_back(struct im_pending *pending, int fd) {
  int status = fcntl(fd, F_GETFL), flags = fcntl(fd, F_GETFD);
  int now = fcntl(pending->real.fd, F_GETFL);
  if ((status ^ now) & O_NONBLOCK) fcntl(pending->real.fd, F_SETFL, (now & ~O_NONBLOCK) | (status & O_NONBLOCK));
  libc_dup3(pending->real.fd, fd, flags & FD_CLOEXEC ? O_CLOEXEC : 0);
}

bool pending_swap(struct im_pending *pending) {
  bool there = stands_at(pending, pending->fd) && private_fd_valid(&pending->real);
  if (there) {
    /* Another process may have the placeholder too, so that replacing it here would not end its registrations. */
    watches_hide(pending->fd);
    put_back(pending, pending->fd);
    watches_show(pending->fd);
  }
  if (pending->fd >= 0) watches_mark(pending->fd, false);
  return (pending->copied && pending_swap_copies(pending)) || there;
}

bool pending_swap_copies(struct im_pending *pending) {
  bool any = false;
  for (int fd = private_fd_floor() - 1; fd >= 0 && private_fd_valid(&pending->real); fd--) {
    if (!stands_at(pending, fd)) continue;
    watches_hide(fd);
    put_back(pending, fd);
    watches_show(fd);
    watches_mark(fd, false);
    any = true;
  }
  return any;
}

void pending_free(struct im_pending *pending) {
  if (pending->next) pending->next->previous = pending->previous;
  if (pending->previous)
    pending->previous->next = pending->next;
  else
    active = pending->next;
  release(pending);
}

bool pending_stays(void) { return staying; }

bool pending_rest(void) {
  if (inbox || active || staying) return false;
  helper_forget();
  running = false;
  return true;
}
