#include "helper.h"

#include "tcp.h"
#include "progress.h"
#include "core/request.h"

#include <errno.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <unistd.h>

/* How long the thread waits without an event before it looks whether its descriptors are still its own. */
#define LOOK_MS 5000

/* Events that are handled in one go: the guest's threads wait for the lock meanwhile. */
#define BATCH 16

/*
 * All that the thread needs is opened in the guest's call that starts it: the epoll set, what wakes it, the socket that
 * questions are sent from, the closed port at which connects fail and the silence in which they are given up.
 */
static struct im_private_fd set = {-1, 0}, wake_in = {-1, 0}, wake_out = {-1, 0}, line = {-1, 0}, closed_port = {-1, 0},
                            black_hole = {-1, 0};
static unsigned generation;

/* An event may come after its time (another process can keep a description open), so it carries the use's id too. */
static uint64_t event_of(const struct im_pending *pending, unsigned which) {
  return (uint64_t)(uintptr_t)pending << 16 | (pending->id & 0x3fff) << 2 | which;
}

bool helper_watch(const struct im_private_fd *kept, uint32_t events, struct im_pending *pending, unsigned which) {
  struct epoll_event event = {.events = events, .data.u64 = event_of(pending, which)};
  return private_fd_valid(kept) && libc_epoll_ctl(set.fd, EPOLL_CTL_ADD, kept->fd, &event) == 0;
}

void helper_unwatch(const struct im_private_fd *kept) {
  if (private_fd_valid(kept)) libc_epoll_ctl(set.fd, EPOLL_CTL_DEL, kept->fd, 0);
}

int helper_line(void) { return private_fd_valid(&line) ? line.fd : -1; }

int helper_closed_port(void) { return private_fd_valid(&closed_port) ? closed_port.fd : -1; }

int helper_black_hole(void) { return private_fd_valid(&black_hole) ? black_hole.fd : -1; }

/* ---- the thread ---- */

static void take_new(void) {
  char bytes[64];
  while (recv(wake_in.fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0) continue;
  for (struct im_pending *pending; (pending = pending_take());) progress_begin(pending);
}

/* Moves on what needs no event, frees what is done; how long to wait for the next event. */
static int sweep(void) {
  int timeout = LOOK_MS;
  bool full = false;
  for (struct im_pending *pending = pending_first(), *next; pending; pending = next) {
    next = pending->next;
    if (pending->unsent.fd >= 0 && !full) full = !progress_send(pending);
    int wait = progress_retire(pending);
    if (wait >= 0) timeout = wait;
    if (pending->stage != IM_STAGE_DEAD) continue;
    helper_unwatch(&pending->waker);
    helper_unwatch(&pending->reply);
    helper_unwatch(&pending->real);
    pending_free(pending);
  }
  /* The supervisor's queue is full: its reading of it is an event. */
  struct epoll_event event = {.events = full ? EPOLLOUT : 0};
  if (line.fd >= 0) libc_epoll_ctl(set.fd, EPOLL_CTL_MOD, line.fd, &event);
  return timeout;
}

static void *run(void *argument) {
  unsigned mine = (unsigned)(uintptr_t)argument;
  struct epoll_event events[BATCH];
  pending_helper_enter();
  while (mine == generation && !pending_rest()) {
    take_new();
    int timeout = sweep(), waits = set.fd;
    if (pending_first() == 0 && !pending_stays()) continue;
    pending_helper_leave();
    int count = epoll_wait(waits, events, BATCH, timeout);
    pending_helper_enter();
    if (mine != generation) break;
    if (!helper_alive()) {
      pending_abandon();
      break;
    }
    for (int i = 0; i < count; i++) {
      uint64_t data = events[i].data.u64;
      unsigned which = data & 3;
      struct im_pending *pending = (struct im_pending *)(uintptr_t)(data >> 16);
      if (which && event_of(pending, which) == data) progress_event(pending, which);
    }
  }
  pending_helper_leave();
  return 0;
}

/* Without a supervisor there is no line; then every question fails, as it should. */
static bool open_all(void) {
  int pair[2];
  struct epoll_event event = {.events = EPOLLIN};
  if (!private_fd_move(epoll_create1(EPOLL_CLOEXEC), &set) || !private_fd_move(tcp_closed_port(), &closed_port) ||
      socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
    return false;
  (void)private_fd_move(tcp_black_hole(), &black_hole); /* without it a pending connect is only not given up so well */
  bool kept = private_fd_move(pair[0], &wake_in);
  kept = private_fd_move(pair[1], &wake_out) && kept;
  if (!kept || libc_epoll_ctl(set.fd, EPOLL_CTL_ADD, wake_in.fd, &event) != 0) return false;
  event.events = 0;
  int questions = request_line();
  return questions < 0 ||
         (private_fd_move(questions, &line) && libc_epoll_ctl(set.fd, EPOLL_CTL_ADD, line.fd, &event) == 0);
}

bool helper_start(void) {
  pthread_t thread;
  pthread_attr_t attributes;
  uintptr_t mine = ++generation;
  bool started = open_all() && pthread_attr_init(&attributes) == 0;
  if (started) {
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 256 * 1024);
    started = pthread_create(&thread, &attributes, run, (void *)mine) == 0;
    pthread_attr_destroy(&attributes);
  }
  if (!started) {
    helper_forget();
    errno = EAGAIN;
  }
  return started;
}

void helper_wake(void) { (void)libc_send(wake_out.fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT); }

/* An epoll set has no inode of its own; but only ours knows our own socket. */
bool helper_alive(void) {
  struct epoll_event event = {.events = EPOLLIN};
  return private_fd_valid(&wake_out) && private_fd_valid(&wake_in) &&
         libc_epoll_ctl(set.fd, EPOLL_CTL_MOD, wake_in.fd, &event) == 0;
}

void helper_forget(void) {
  if (helper_alive() || private_fd_valid(&set)) libc_close(set.fd);
  set = IM_NONE;
  private_fd_close(&wake_in);
  private_fd_close(&wake_out);
  private_fd_close(&line);
  private_fd_close(&closed_port);
  private_fd_close(&black_hole);
  generation++;
}
