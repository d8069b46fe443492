#include "helper.h"

#include "connect.h"
#include "pending.h"
#include "placeholder.h"
#include "request.h"
#include "sockets.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

/* A guest's connect that failed at a stale place is asked for once more, with the epoch that did not work. */
#define ASKS 2

/* Which descriptor of a pending connect an event is about. */
enum { ON_REPLY = 1, ON_REAL = 2, ON_WAKER = 3 };

/*
 * All that the thread needs is opened in the guest's call that starts it: the epoll set, what wakes it, the socket that
 * questions are sent from, and the door at which connects fail.
 */
static struct im_kept set = {-1, 0}, wake_in = {-1, 0}, wake_out = {-1, 0}, line = {-1, 0}, door = {-1, 0};
static _Atomic unsigned generation;

/* An event may come after its time (another process can keep a description open), so it carries the use's id too. */
static uint64_t event_of(const struct im_pending *pending, unsigned which) {
  return (uint64_t)(uintptr_t)pending << 16 | (pending->id & 0x3fff) << 2 | which;
}

static bool watch(const struct im_kept *kept, uint32_t events, struct im_pending *pending, unsigned which) {
  struct epoll_event event = {.events = events, .data.u64 = event_of(pending, which)};
  return keep_valid(kept) && libc_epoll_ctl(set.fd, EPOLL_CTL_ADD, kept->fd, &event) == 0;
}

static void unwatch(const struct im_kept *kept) {
  if (keep_valid(kept)) libc_epoll_ctl(set.fd, EPOLL_CTL_DEL, kept->fd, 0);
}

static void end_reply(struct im_pending *pending) {
  unwatch(&pending->reply);
  keep_close(&pending->reply);
}

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* ---- one connect ---- */

static void finish(struct im_pending *pending, bool connected) {
  unwatch(&pending->real);
  end_reply(pending);
  if (!pending_swap(pending) || !connected) {
    /* Hanging up is how a failed connect looks, and how one looks that nobody waits for. */
    pending->stage = IM_STAGE_DEAD;
    return;
  }
  placeholder_drain(&pending->waker);
  pending->stage = placeholder_gone(&pending->waker) ? IM_STAGE_DEAD : IM_STAGE_RETIRED;
  pending->retired = now();
}

static void fail(struct im_pending *pending, int error) {
  if (keep_valid(&pending->real)) connect_refuse(pending->real.fd, &pending->to, error, door.fd);
  finish(pending, false);
}

/* Sends what pending_start could not, or did not, send. */
static void ask(struct im_pending *pending) {
  struct im_request request =
      request_connect(sockets_cookie(pending->real.fd), &pending->to, pending->epoch, true);
  int result = request_send(keep_valid(&line) ? line.fd : -1, &request, pending->unsent.fd, true);
  keep_close(&pending->unsent);
  if (result != 0) {
    request_lost();
    fail(pending, EHOSTUNREACH);
  }
}

static void await(struct im_pending *pending) {
  pending->asked++;
  pending->stage = IM_STAGE_ASKED;
  if (!watch(&pending->reply, EPOLLIN, pending, ON_REPLY)) fail(pending, ENOBUFS);
  else if (pending->unsent.fd >= 0) ask(pending);
}

/* The location did not work: once more from the start, with what is left on the socket taken away. */
static void retry_or_fail(struct im_pending *pending) {
  int ends[2];
  if (pending->asked >= ASKS) {
    finish(pending, false);
    return;
  }
  unwatch(&pending->real);
  connect_reset(pending->real.fd);
  if (request_pair(ends) != 0) {
    fail(pending, ENOBUFS);
    return;
  }
  bool kept = keep_move(ends[0], &pending->reply);
  kept = keep_move(ends[1], &pending->unsent) && kept;
  if (kept)
    await(pending);
  else
    fail(pending, ENOBUFS);
}

static void go(struct im_pending *pending, const struct im_reply *reply) {
  pending->epoch = reply->epoch;
  if (connect_real(pending->real.fd, &pending->to, reply->real, reply->real_port, connect_source()) != 0 &&
      errno != EINPROGRESS && errno != EALREADY) {
    if (connect_worth_asking(errno)) retry_or_fail(pending);
    else fail(pending, errno);
    return;
  }
  switch (connect_state(pending->real.fd)) {
  case IM_CONNECTING:
    pending->stage = IM_STAGE_CONNECTING;
    if (!watch(&pending->real, EPOLLOUT, pending, ON_REAL)) finish(pending, false);
    return;
  case IM_CONNECTED:
    finish(pending, true);
    return;
  case IM_FAILED:
    retry_or_fail(pending);
    return;
  }
}

static void on_reply(struct im_pending *pending) {
  struct im_reply reply;
  bool asked = keep_valid(&pending->reply);
  int result = asked ? request_take(pending->reply.fd, &reply) : -EPIPE;
  if (result == -EAGAIN || result == -EINTR) return;
  end_reply(pending);
  if (result == 0 && reply.status == 0)
    go(pending, &reply);
  else {
    if (result != 0 && asked) request_lost();
    fail(pending, result == 0 ? reply.status : EHOSTUNREACH);
  }
}

static void on_real(struct im_pending *pending) {
  if (!keep_valid(&pending->real)) {
    pending->stage = IM_STAGE_DEAD;
    return;
  }
  enum im_connection state = connect_state(pending->real.fd);
  if (state == IM_CONNECTED) finish(pending, true);
  if (state == IM_FAILED) retry_or_fail(pending);
}

/*
 * The placeholder is replaced and drained, yet somebody still has it: a call that waits for input only (poked), or a
 * duplicate that the guest made (swapped too), or another process (nothing of ours).
 */
static void on_retired(struct im_pending *pending, int64_t time) {
  static const int steps[] = {5, 50, 1000};
  if (placeholder_gone(&pending->waker)) pending->stage = IM_STAGE_DEAD;
  if (pending->stage == IM_STAGE_DEAD || time - pending->retired < steps[pending->step]) return;
  if (pending->step == 0) placeholder_poke(&pending->waker);
  if (pending->step == 1) pending_swap_copies(pending);
  if (pending->step++ == 2) pending->stage = IM_STAGE_DEAD;
}

static void on_event(struct im_pending *pending, unsigned which) {
  enum im_stage stage = pending->stage;
  if (stage == IM_STAGE_DEAD) return;
  if (which == ON_WAKER)
    pending->stage = IM_STAGE_DEAD; /* the guest has closed the descriptor */
  else if (which == ON_REPLY && stage == IM_STAGE_ASKED)
    on_reply(pending);
  else if (which == ON_REAL && stage == IM_STAGE_CONNECTING)
    on_real(pending);
}

/* ---- the thread ---- */

static void take_new(void) {
  char bytes[64];
  while (recv(wake_in.fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0) continue;
  for (struct im_pending *pending; (pending = pending_take());) {
    if (watch(&pending->waker, 0, pending, ON_WAKER))
      await(pending);
    else
      pending->stage = IM_STAGE_DEAD;
  }
}

/* Frees what is done, moves on what is retired; how long to wait for the next event. */
static int sweep(void) {
  int64_t time = now();
  int timeout = 5000; /* then look whether the descriptors are still ours */
  for (struct im_pending *pending = pending_first(), *next; pending; pending = next) {
    next = pending->next;
    if (pending->stage == IM_STAGE_RETIRED) on_retired(pending, time);
    if (pending->stage == IM_STAGE_RETIRED) timeout = 5;
    if (pending->stage != IM_STAGE_DEAD) continue;
    unwatch(&pending->waker);
    unwatch(&pending->reply);
    unwatch(&pending->real);
    pending_free(pending);
  }
  return timeout;
}

static void *run(void *argument) {
  unsigned mine = (unsigned)(uintptr_t)argument;
  struct epoll_event events[64];
  while (!pending_rest() && mine == atomic_load(&generation) && helper_alive()) {
    take_new();
    int timeout = sweep();
    if (pending_rest()) break;
    int count = epoll_wait(set.fd, events, 64, timeout);
    if (mine != atomic_load(&generation)) break;
    for (int i = 0; i < count; i++) {
      uint64_t data = events[i].data.u64;
      unsigned which = data & 3;
      struct im_pending *pending = (struct im_pending *)(uintptr_t)(data >> 16);
      if (which && event_of(pending, which) == data) on_event(pending, which);
    }
  }
  return 0;
}

static bool open_all(void) {
  int pair[2];
  struct epoll_event event = {.events = EPOLLIN};
  if (!keep_move(epoll_create1(EPOLL_CLOEXEC), &set) || !keep_move(request_line(), &line) ||
      !keep_move(connect_door(), &door) ||
      socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
    return false;
  bool kept = keep_move(pair[0], &wake_in);
  kept = keep_move(pair[1], &wake_out) && kept;
  return kept && libc_epoll_ctl(set.fd, EPOLL_CTL_ADD, wake_in.fd, &event) == 0;
}

bool helper_start(void) {
  pthread_t thread;
  pthread_attr_t attributes;
  uintptr_t mine = atomic_fetch_add(&generation, 1) + 1;
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

void helper_wake(void) { (void)send(wake_out.fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT); }

/* An epoll set has no inode of its own; but only ours knows our own socket. */
bool helper_alive(void) {
  struct epoll_event event = {.events = EPOLLIN};
  return keep_valid(&wake_out) && keep_valid(&wake_in) &&
         libc_epoll_ctl(set.fd, EPOLL_CTL_MOD, wake_in.fd, &event) == 0;
}

void helper_forget(void) {
  bool ours = helper_alive() || keep_valid(&set);
  if (ours && set.fd >= 0) libc_close(set.fd);
  set = IM_NONE;
  keep_close(&wake_in);
  keep_close(&wake_out);
  keep_close(&line);
  keep_close(&door);
  atomic_fetch_add(&generation, 1);
}
