#define _GNU_SOURCE
#include "forward.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define WATCHED (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)
#define GONE (EPOLLERR | EPOLLHUP)

/* It has something to do. */
static void add(struct im_forward *forward, struct im_link *link) {
  if (link->queued) return;
  link->queued = true;
  link->next_queued = NULL;
  if (forward->last_queued)
    forward->last_queued->next_queued = link;
  else
    forward->first_queued = link;
  forward->last_queued = link;
}

static void on_outside(void *context, void *owner, uint32_t events) {
  struct im_link *link = owner;
  link->events[IM_OUTSIDE] |= events;
  add(context, link);
}

static void on_inside(void *context, void *owner, uint32_t events) {
  struct im_link *link = owner;
  link->events[IM_INSIDE] |= events;
  add(context, link);
}

/* A reset is what the end of this process is to both sides: an end in good order would pass for the other side's. */
static void set_options(int fd) {
  int one = 1;
  struct linger reset = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static void forget(struct im_forward *forward, struct im_link *link) {
  if (link->earlier)
    link->earlier->later = link->later;
  else
    forward->links = link->later;
  if (link->later) link->later->earlier = link->earlier;
  forward->count--;
}

static void end(struct im_forward *forward, struct im_link *link, bool orderly) {
  for (int i = 0; i < 2; i++) reactor_unwatch(&forward->reactor, &link->sources[i]);
  splice_close(&link->pair, &forward->pipes, orderly);
  forget(forward, link);
  reactor_bury(&forward->reactor, &link->sources[0]);
}

static bool starved(int error) { return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM; }

static void fail(struct im_forward *forward, struct im_link *link, int error) {
  forward_report(forward, link->target, error);
  end(forward, link, false);
}

bool links_begin(struct im_forward *forward, struct im_target *target, int accepted) {
  struct im_link *link = calloc(1, sizeof *link);
  int fd = link ? socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) : -1;
  if (fd < 0) {
    free(link);
    return false;
  }
  set_options(accepted);
  set_options(fd);
  splice_init(&link->pair, accepted, fd);
  link->target = target;
  link->sources[IM_OUTSIDE] = (struct im_source){.on_event = on_outside, .owner = link};
  link->sources[IM_INSIDE] = (struct im_source){.on_event = on_inside, .owner = link};
  link->later = forward->links;
  if (link->later) link->later->earlier = link;
  forward->links = link;
  forward->count++;
  bool begun = connect(fd, (struct sockaddr *)&target->to, sizeof target->to) == 0 || errno == EINPROGRESS;
  /* After connect(): a socket that is not connected hangs up at once. */
  bool watched = begun && reactor_watch(&forward->reactor, &link->sources[IM_OUTSIDE], accepted, WATCHED) &&
                 reactor_watch(&forward->reactor, &link->sources[IM_INSIDE], fd, WATCHED);
  if (!watched) fail(forward, link, errno);
  return true;
}

static int error_of(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
}

/* Whether the link's connect has succeeded. False: it waits, or the link has ended. */
static bool connects(struct im_forward *forward, struct im_link *link) {
  if (link->events[IM_OUTSIDE] & GONE) return end(forward, link, false), false;
  if (!(link->events[IM_INSIDE] & (EPOLLOUT | GONE))) return false;
  int error = error_of(link->pair.fds[IM_INSIDE]);
  if (error) return fail(forward, link, error), false;
  /* A socket that has hung up without an error is the shim's placeholder of a connect that came to nothing. */
  if (!(link->events[IM_INSIDE] & EPOLLOUT)) return fail(forward, link, ECONNRESET), false;
  link->connected = true;
  if (link->target->failing) forward_report(forward, link->target, 0);
  return true;
}

static void run(struct im_forward *forward, struct im_link *link) {
  if (!link->connected && !connects(forward, link)) return;
  int error = 0;
  uint32_t events = link->events[0] | link->events[1];
  link->events[0] = link->events[1] = 0;
  enum im_progress progress = splice_move(&link->pair, &forward->pipes, &error);
  if (progress == IM_SPLICE_WAITS && events & EPOLLERR) {
    error = error_of(link->pair.fds[0]);
    if (!error) error = error_of(link->pair.fds[1]);
    if (error) progress = IM_SPLICE_BROKEN;
  }
  /* For want of a pipe. */
  if (progress == IM_SPLICE_BROKEN && starved(error)) forward_report(forward, link->target, error);
  if (progress == IM_SPLICE_GOES_ON) {
    link->events[IM_INSIDE] |= events & EPOLLERR; /* what came before the error goes on first */
    return add(forward, link);
  }
  if (progress != IM_SPLICE_WAITS) end(forward, link, progress == IM_SPLICE_ENDED);
}

void links_run(struct im_forward *forward) {
  struct im_link *next = forward->first_queued;
  forward->first_queued = forward->last_queued = NULL;
  while (next) {
    struct im_link *link = next;
    next = link->next_queued;
    link->queued = false;
    run(forward, link);
  }
}

void links_close(struct im_forward *forward) {
  while (forward->links) {
    struct im_link *link = forward->links;
    splice_close(&link->pair, &forward->pipes, false);
    forget(forward, link);
    free(link);
  }
}
