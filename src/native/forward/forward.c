#define _GNU_SOURCE
#include "forward.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define REPORTS 1 /* descriptor */
#define ACCEPT_PAUSE (50 * IM_MS)
#define ACCEPTED_MOST 64 /* of one listener, before the others have their turn */

void forward_report(const struct im_forward *forward, struct im_target *target, int error) {
  char line[64];
  int size = snprintf(line, sizeof line, "%d %d %zu\n", target->index, error, forward->count);
  target->failing = error != 0;
  (void)!send(REPORTS, line, (size_t)size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* With a reset, so that it does not pass for a connection that has ended in good order. */
static void refuse(int fd) {
  struct linger reset = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  close(fd);
}

static void watch_listeners(struct im_forward *forward, uint32_t events) {
  for (int i = 0; i < forward->target_count; i++) {
    struct im_target *target = &forward->targets[i];
    reactor_watch(&forward->reactor, &target->accepting, target->listener, events);
  }
}

/* No descriptor is left: those that wait in the listeners' queues wait on. */
static void pause_accepting(struct im_forward *forward, struct im_target *target, int error) {
  forward_report(forward, target, error);
  forward->paused = true;
  watch_listeners(forward, 0);
  reactor_set(&forward->reactor, &forward->accept_again, clock_now() + ACCEPT_PAUSE);
}

static void on_accept_time(void *context, void *owner) {
  struct im_forward *forward = context;
  (void)owner;
  forward->paused = false;
  watch_listeners(forward, EPOLLIN);
}

static void accept_for(struct im_forward *forward, struct im_target *target) {
  for (int i = 0; i < ACCEPTED_MOST && !forward->paused; i++) {
    int fd = accept4(target->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
      return pause_accepting(forward, target, errno);
    }
    if (fd < 0 && errno == EAGAIN) return;
    if (fd < 0) continue; /* that connection is gone */
    if (forward->count >= forward->most) {
      forward_report(forward, target, EUSERS);
      refuse(fd);
    } else if (!links_begin(forward, target, fd)) {
      forward_report(forward, target, errno);
      refuse(fd);
    }
  }
}

static void on_accept(void *context, void *owner, uint32_t events) {
  struct im_target *target = owner;
  (void)context, (void)events;
  target->ready = true;
}

/* Connections that have ended make room before others are accepted. */
static bool on_round(void *context) {
  struct im_forward *forward = context;
  links_run(forward);
  for (int i = 0; i < forward->target_count; i++) {
    if (forward->targets[i].ready) accept_for(forward, &forward->targets[i]);
    forward->targets[i].ready = false;
  }
  return forward->first_queued != NULL;
}

int forward_start(struct im_forward *forward, const char **syscall) {
  forward->accept_again.on_time = on_accept_time;
  reactor_init(&forward->reactor, forward, on_round);
  int error = reactor_start(&forward->reactor, syscall);
  if (error) return error;
  *syscall = "epoll_ctl";
  pthread_mutex_lock(&forward->reactor.lock);
  for (int i = 0; i < forward->target_count && !error; i++) {
    struct im_target *target = &forward->targets[i];
    target->accepting = (struct im_source){.on_event = on_accept, .owner = target};
    if (!reactor_watch(&forward->reactor, &target->accepting, target->listener, EPOLLIN)) error = errno;
  }
  pthread_mutex_unlock(&forward->reactor.lock);
  return error;
}

void forward_stop(struct im_forward *forward) {
  reactor_stop(&forward->reactor);
  links_close(forward);
  splice_close_pipes(&forward->pipes);
  reactor_free(&forward->reactor);
}
