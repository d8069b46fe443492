#include "steps.h"

#include "connect/handoff.h"
#include "connect/tcp.h"
#include "poller.h"
#include "placeholder.h"
#include "swap.h"
#include "core/alias.h"
#include "core/request.h"
#include "core/room.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <time.h>

/* A connect that failed at a stale location is requested once more, with the epoch that did not work. */
#define ASKS 2

static struct im_request request_of(const struct im_pending *pending) {
  uint32_t flags = IM_FLAG_NONBLOCK | (pending->listed ? IM_FLAG_LISTED : 0);
  return request_connect(pending->real.fd, &pending->to, pending->epoch, flags);
}

/*
 * In the guest's own call: a descriptor that is open for a moment has a low number, and a guest that closes all
 * descriptors in that moment and opens others would see one of them closed.
 */
bool steps_ask(struct im_pending *pending) {
  int ends[2];
  if (pending->reply.fd >= 0) return true; /* under way already */
  if (request_pair(ends) != 0) return false;
  struct im_request request = request_of(pending);
  if (!private_fd_move(ends[0], &pending->reply)) {
    libc_close(ends[1]);
    return false;
  }
  if (request_send(-1, &request, ends[1], false) != 0) return private_fd_move(ends[1], &pending->unsent);
  libc_close(ends[1]);
  return true;
}

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void end_reply(struct im_pending *pending) {
  poller_unwatch(&pending->reply);
  private_fd_close(&pending->reply);
}

static void finish(struct im_pending *pending, bool connected) {
  poller_unwatch(&pending->real);
  end_reply(pending);
  private_fd_close(&pending->unsent);
  if (!swap_back(pending) || !connected) {
    /* A failed connect looks hung up, and so does a connect without a waiter. */
    pending->stage = IM_STAGE_DEAD;
    return;
  }
  placeholder_drain(&pending->waker);
  pending->stage = placeholder_gone(&pending->waker) ? IM_STAGE_DEAD : IM_STAGE_RETIRED;
  pending->retired = now();
}

static void fail(struct im_pending *pending, int error) {
  if (private_fd_valid(&pending->real)) tcp_refuse(pending->real.fd, error, poller_closed_port());
  finish(pending, false);
}

bool steps_send(struct im_pending *pending) {
  if (pending->stage == IM_STAGE_ASKED && private_fd_valid(&pending->unsent)) {
    struct im_request request = request_of(pending);
    int line = poller_line(), result = line < 0 ? -ENOENT : request_send(line, &request, pending->unsent.fd, false);
    if (result == -EAGAIN) return false;
    if (result != 0) {
      /* Else the guest has closed our descriptor, at this very moment. */
      if (poller_alive() && private_fd_valid(&pending->unsent)) request_lost();
      fail(pending, EHOSTUNREACH);
    }
  }
  private_fd_close(&pending->unsent);
  return true;
}

static void await(struct im_pending *pending) {
  pending->asked++;
  pending->stage = IM_STAGE_ASKED;
  if (!poller_watch(&pending->reply, EPOLLIN, pending, IM_ON_REPLY)) fail(pending, ENOBUFS);
}

void steps_begin(struct im_pending *pending) {
  if (pending->stage == IM_STAGE_DEAD) return;
  if (poller_watch(&pending->waker, 0, pending, IM_ON_WAKER))
    await(pending);
  else
    pending->stage = IM_STAGE_DEAD;
}

/* The location did not work: once more from the start, with what is left on the socket taken away. */
static void retry_or_fail(struct im_pending *pending) {
  int ends[2];
  if (pending->asked >= ASKS) {
    finish(pending, false);
    return;
  }
  poller_unwatch(&pending->real);
  tcp_reset(pending->real.fd);
  room_open();
  bool kept = request_pair(ends) == 0;
  if (kept) {
    kept = private_fd_move(ends[0], &pending->reply);
    kept = private_fd_move(ends[1], &pending->unsent) && kept;
  }
  room_close();
  if (kept)
    await(pending);
  else
    fail(pending, ENOBUFS);
}

/* The host did not answer: one of several, and the supervisor ends that; or the only one, which is asked for twice. */
static void may_ask_again(struct im_pending *pending, bool chosen) {
  if (chosen && pending->asked >= ASKS) pending->asked = ASKS - 1;
}

/* The connection that came is of no use. */
static void once_more(struct im_pending *pending) {
  if (pending->listed) pending->asked--;
  pending->listed = false; /* not from the pool again: a new one */
  if (pending->asked < ASKS)
    retry_or_fail(pending);
  else
    fail(pending, EHOSTUNREACH);
}

/* A connection that stands takes the place of the guest's socket, which is kept aside. */
static void take_over(struct im_pending *pending, const struct im_reply *reply, struct im_private_fd fresh) {
  if (!handoff_stands(fresh.fd)) {
    private_fd_close(&fresh);
    if (!pending->listed) pending->epoch = reply->epoch; /* it may have ended, or its guest */
    may_ask_again(pending, handoff_is_chosen(&pending->to, reply));
    once_more(pending);
    return;
  }
  handoff_prepare(pending->real.fd, fresh.fd, &pending->to, reply);
  fcntl(fresh.fd, F_SETFL, fcntl(pending->real.fd, F_GETFL));
  private_fd_close(&pending->real);
  pending->real = fresh;
  finish(pending, true);
}

static void go(struct im_pending *pending, const struct im_reply *reply) {
  pending->epoch = reply->epoch;
  pending->listed = false;
  may_ask_again(pending, reply->flags & IM_REPLY_CHOSEN);
  if (tcp_connect(pending->real.fd, &pending->to, reply->real, reply->real_port, alias_host()) != 0 &&
      errno != EINPROGRESS && errno != EALREADY) {
    if (tcp_worth_locating(errno))
      retry_or_fail(pending);
    else
      fail(pending, errno);
    return;
  }
  switch (tcp_state(pending->real.fd)) {
  case IM_CONNECTING:
    pending->stage = IM_STAGE_CONNECTING;
    if (!poller_watch(&pending->real, EPOLLOUT, pending, IM_ON_REAL)) finish(pending, false);
    return;
  case IM_CONNECTED: finish(pending, true); return;
  case IM_FAILED: retry_or_fail(pending); return;
  }
}

/* A descriptor that comes and finds no room is lost: there is room before, and none when the guest goes on. */
static int receive(const struct im_pending *pending, struct im_reply *reply, struct im_private_fd *fresh) {
  int passed = -1;
  room_open();
  int result = request_take(pending->reply.fd, reply, &passed);
  if (passed >= 0 && !private_fd_move(passed, fresh)) result = -errno;
  room_close();
  return result;
}

static void on_reply(struct im_pending *pending) {
  struct im_reply reply;
  struct im_private_fd fresh = IM_NONE;
  bool there = private_fd_valid(&pending->reply) && private_fd_valid(&pending->real);
  int result = there ? receive(pending, &reply, &fresh) : -EPIPE;
  if (result == -EAGAIN || result == -EINTR || (result == 0 && reply.status == EAGAIN)) return; /* see IM_FLAG_READY */
  bool lost = result != 0 && there && private_fd_valid(&pending->reply);
  end_reply(pending);
  if (fresh.fd >= 0)
    take_over(pending, &reply, fresh);
  else if (result == -EMFILE)
    once_more(pending);
  else if (result == 0 && reply.status == 0)
    go(pending, &reply);
  else {
    if (lost) request_lost();
    fail(pending, result == 0 ? reply.status : EHOSTUNREACH);
  }
}

static void on_real(struct im_pending *pending) {
  if (!private_fd_valid(&pending->real)) {
    pending->stage = IM_STAGE_DEAD;
    return;
  }
  enum im_connection state = tcp_state(pending->real.fd);
  if (state == IM_CONNECTED) finish(pending, true);
  if (state == IM_FAILED) retry_or_fail(pending);
}

void steps_event(struct im_pending *pending, unsigned which) {
  enum im_stage stage = pending->stage;
  if (stage == IM_STAGE_DEAD) return;
  if (which == IM_ON_WAKER && pending->shared && stage != IM_STAGE_RETIRED)
    poller_unwatch(&pending->waker);
  else if (which == IM_ON_WAKER)
    pending->stage = IM_STAGE_DEAD; /* no process has the placeholder any more */
  else if (which == IM_ON_REPLY && stage == IM_STAGE_ASKED)
    on_reply(pending);
  else if (which == IM_ON_REAL && stage == IM_STAGE_CONNECTING)
    on_real(pending);
}

/*
 * The placeholder is replaced and drained, yet still open: in a call that waits for input only (poked), as a duplicate
 * that the guest made (swapped too), or in another process (nothing of ours).
 */
int steps_retire(struct im_pending *pending) {
  static const int steps[] = {5, 50, 1000};
  if (pending->stage != IM_STAGE_RETIRED) return -1;
  if (placeholder_gone(&pending->waker)) pending->stage = IM_STAGE_DEAD;
  if (pending->stage == IM_STAGE_DEAD || now() - pending->retired < steps[pending->step]) return steps[0];
  if (pending->step == 0) placeholder_poke(&pending->waker);
  if (pending->step == 1) swap_back_copies(pending);
  if (pending->step++ == 2) pending->stage = IM_STAGE_DEAD;
  return steps[0];
}
