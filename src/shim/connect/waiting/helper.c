#include "helper.h"

#include "connect/watches.h"
#include "poller.h"
#include "steps.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>

/* How long the thread waits without an event before it looks whether its descriptors are still its own. */
#define LOOK_MS 5000

/* Events that are handled in one go: the guest's threads wait for the lock meanwhile. */
#define BATCH 16

static unsigned generation;
static bool running;
static bool staying; /* it is not to end: it could not be started again */

/* A thread that still waits ends by itself. */
static void forget(void) {
  poller_close();
  generation++;
  running = false;
}

void helper_check(void) {
  if (!running || poller_alive()) return;
  for (struct im_pending *pending; (pending = pending_pop());) {
    if (pending->fd >= 0) watches_mark(pending->fd, false);
    pending_release(pending);
  }
  forget();
}

void helper_after_fork(void) {
  if (running) forget();
  staying = false;
}

static void take_new(void) {
  poller_woken();
  for (struct im_pending *pending; (pending = pending_take());) steps_begin(pending);
}

/* Moves on what needs no event, frees what is done; how long to wait for the next event. */
static int sweep(void) {
  int timeout = LOOK_MS;
  bool full = false;
  for (struct im_pending *pending = pending_first(), *next; pending; pending = next) {
    next = pending->next;
    if (pending->unsent.fd >= 0 && !full) full = !steps_send(pending);
    int wait = steps_retire(pending);
    if (wait >= 0) timeout = wait;
    if (pending->stage != IM_STAGE_DEAD) continue;
    poller_unwatch(&pending->waker);
    poller_unwatch(&pending->reply);
    poller_unwatch(&pending->real);
    pending_free(pending);
  }
  poller_watch_line(full);
  return timeout;
}

/* True when nothing is left to do and the helper may be started again: from then on it does not exist. */
static bool rest(void) {
  if (staying || !pending_none()) return false;
  forget();
  return true;
}

static void *run(void *argument) {
  unsigned mine = (unsigned)(uintptr_t)argument;
  struct epoll_event events[BATCH];
  pending_lock(0);
  while (mine == generation && !rest()) {
    take_new();
    int timeout = sweep(), set = poller_set();
    if (!pending_first() && !staying) continue;
    pending_unlock(0);
    int count = epoll_wait(set, events, BATCH, timeout);
    pending_lock(0);
    if (mine == generation) helper_check();
    for (int i = 0; i < count && mine == generation; i++) {
      unsigned which;
      struct im_pending *pending = poller_pending(events[i].data.u64, &which);
      if (pending) steps_event(pending, which);
    }
  }
  pending_unlock(0);
  return 0;
}

bool helper_start(void) {
  pthread_t thread;
  pthread_attr_t attributes;
  if (running) return true;
  uintptr_t mine = ++generation;
  if (poller_open() && pthread_attr_init(&attributes) == 0) {
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 256 * 1024);
    running = pthread_create(&thread, &attributes, run, (void *)mine) == 0;
    pthread_attr_destroy(&attributes);
  }
  if (!running) {
    forget();
    errno = EAGAIN;
  }
  return running;
}

void helper_stay(void) { staying = helper_start(); }
