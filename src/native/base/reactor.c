#define _GNU_SOURCE
#include "reactor.h"
#include "thread.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define BATCH 128
#define EXACT (10 * IM_MS) /* timers that are due within this are not late by a millisecond */
#define LONGEST (60000 * IM_MS)

/* ---- timers ---- */

static struct im_timer *meld(struct im_timer *a, struct im_timer *b) {
  if (!a || !b) return a ? a : b;
  if (b->due < a->due) return meld(b, a);
  b->next = a->child;
  if (b->next) b->next->at = &b->next;
  b->at = &a->child;
  a->child = b;
  return a;
}

/* The children of one that is gone. */
static struct im_timer *merge(struct im_timer *first) {
  struct im_timer *pairs = NULL, *root = NULL;
  while (first) {
    struct im_timer *a = first, *b = a->next;
    first = b ? b->next : NULL;
    a->next = NULL;
    if (b) b->next = NULL;
    a = meld(a, b);
    a->next = pairs;
    pairs = a;
  }
  while (pairs) {
    struct im_timer *next = pairs->next;
    pairs->next = NULL;
    root = meld(root, pairs);
    pairs = next;
  }
  return root;
}

static void add(struct im_reactor *reactor, struct im_timer *timer) {
  reactor->timers = meld(reactor->timers, timer);
  if (reactor->timers) reactor->timers->at = &reactor->timers;
}

void reactor_clear(struct im_reactor *reactor, struct im_timer *timer) {
  if (!timer->at) return;
  *timer->at = timer->next;
  if (timer->next) timer->next->at = timer->at;
  add(reactor, merge(timer->child));
  timer->at = NULL;
  timer->child = timer->next = NULL;
}

/*
 * An alarm for a timer that is cleared stays as it is: it rings once for nothing, which costs less than to set it each
 * time.
 */
static void arm(struct im_reactor *reactor, int64_t due) {
  int64_t at = due > 0 ? due : 1; /* 0 would disarm it */
  struct itimerspec when = {.it_value = {.tv_sec = at / (1000 * IM_MS), .tv_nsec = at % (1000 * IM_MS)}};
  timerfd_settime(reactor->alarm, TFD_TIMER_ABSTIME, &when, NULL);
  reactor->armed = reactor->wakes_at = due;
}

void reactor_set(struct im_reactor *reactor, struct im_timer *timer, int64_t due) {
  reactor_clear(reactor, timer);
  timer->due = due;
  add(reactor, timer);
  if (!reactor->awake && due < reactor->wakes_at) arm(reactor, due);
}

static void ring(struct im_reactor *reactor) {
  if (!reactor->timers) return;
  int64_t now = clock_now();
  while (reactor->timers && reactor->timers->due <= now) {
    struct im_timer *timer = reactor->timers;
    reactor_clear(reactor, timer);
    timer->on_time(reactor->context, timer->owner);
  }
}

/* ---- sources ---- */

bool reactor_watch(struct im_reactor *reactor, struct im_source *source, int fd, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = source};
  source->fd = fd;
  if (epoll_ctl(reactor->set, source->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) != 0) return false;
  return source->watched = true;
}

/* Closing it would not do: a child that is being started may have a copy for a moment. */
void reactor_unwatch(struct im_reactor *reactor, struct im_source *source) {
  if (source->watched) epoll_ctl(reactor->set, EPOLL_CTL_DEL, source->fd, NULL);
  source->watched = false;
}

void reactor_bury(struct im_reactor *reactor, struct im_source *source) {
  source->next_buried = reactor->buried;
  reactor->buried = source;
}

static void free_buried(struct im_reactor *reactor) {
  while (reactor->buried) {
    struct im_source *next = reactor->buried->next_buried;
    free(reactor->buried->owner);
    reactor->buried = next;
  }
}

/* ---- the thread ---- */

static void read_count(int fd) {
  uint64_t count;
  ssize_t got = read(fd, &count, sizeof count);
  (void)got;
}

static void on_wake(void *context, void *owner, uint32_t events) {
  struct im_reactor *reactor = owner;
  (void)context, (void)events;
  read_count(reactor->wake);
}

static void on_alarm(void *context, void *owner, uint32_t events) {
  struct im_reactor *reactor = owner;
  (void)context, (void)events;
  read_count(reactor->alarm);
}

void reactor_wake(struct im_reactor *reactor) {
  uint64_t one = 1;
  ssize_t written = write(reactor->wake, &one, sizeof one);
  (void)written; /* fails only when the counter is full: it is awake already */
}

void reactor_lock(struct im_reactor *reactor) {
  __atomic_add_fetch(&reactor->wanted, 1, __ATOMIC_RELAXED);
  pthread_mutex_lock(&reactor->lock);
  __atomic_sub_fetch(&reactor->wanted, 1, __ATOMIC_RELAXED);
}

void reactor_unlock(struct im_reactor *reactor) { pthread_mutex_unlock(&reactor->lock); }

static void stand_back(struct im_reactor *reactor) {
  if (!__atomic_load_n(&reactor->wanted, __ATOMIC_RELAXED)) return;
  pthread_mutex_unlock(&reactor->lock);
  sched_yield();
  pthread_mutex_lock(&reactor->lock);
}

/* For epoll_wait, until the next timer: in milliseconds if that is exact enough, else -1 and the alarm rings. */
static int time_to_wait(struct im_reactor *reactor) {
  reactor->wakes_at = IM_NEVER;
  if (!reactor->timers) return -1;
  int64_t due = reactor->timers->due, left = due - clock_now();
  if (left <= 0) return 0;
  reactor->wakes_at = due;
  if (left < EXACT) {
    if (reactor->armed != due) arm(reactor, due);
    return -1;
  }
  return left < LONGEST ? (int)((left + IM_MS - 1) / IM_MS) : (int)(LONGEST / IM_MS);
}

static void *run(void *argument) {
  struct im_reactor *reactor = argument;
  struct epoll_event events[BATCH];
  int timeout = -1;
  while (!__atomic_load_n(&reactor->stopping, __ATOMIC_ACQUIRE)) {
    int count = epoll_wait(reactor->set, events, BATCH, timeout);
    pthread_mutex_lock(&reactor->lock);
    reactor->awake = true;
    for (int i = 0; i < count; i++) {
      struct im_source *source = events[i].data.ptr;
      if (source->watched) source->on_event(reactor->context, source->owner, events[i].events);
      stand_back(reactor);
    }
    ring(reactor);
    bool more = reactor->on_round && reactor->on_round(reactor->context);
    free_buried(reactor);
    timeout = more ? 0 : time_to_wait(reactor);
    reactor->awake = false;
    pthread_mutex_unlock(&reactor->lock);
  }
  return NULL;
}

void reactor_init(struct im_reactor *reactor, void *context, bool (*on_round)(void *context)) {
  *reactor = (struct im_reactor){.set = -1,
                                 .wake = -1,
                                 .alarm = -1,
                                 .woken = {.on_event = on_wake, .owner = reactor},
                                 .rung = {.on_event = on_alarm, .owner = reactor},
                                 .wakes_at = IM_NEVER,
                                 .context = context,
                                 .on_round = on_round};
  pthread_mutex_init(&reactor->lock, NULL);
}

static void close_one(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

static void close_all(struct im_reactor *reactor) {
  close_one(&reactor->set);
  close_one(&reactor->wake);
  close_one(&reactor->alarm);
}

static int make_descriptors(struct im_reactor *reactor, const char **syscall) {
  *syscall = "epoll_create1";
  reactor->set = epoll_create1(EPOLL_CLOEXEC);
  if (reactor->set < 0) return errno;
  *syscall = "eventfd";
  reactor->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (reactor->wake < 0) return errno;
  *syscall = "timerfd_create";
  reactor->alarm = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  if (reactor->alarm < 0) return errno;
  *syscall = "epoll_ctl";
  bool watched = reactor_watch(reactor, &reactor->woken, reactor->wake, EPOLLIN) &&
                 reactor_watch(reactor, &reactor->rung, reactor->alarm, EPOLLIN);
  return watched ? 0 : errno;
}

int reactor_start(struct im_reactor *reactor, const char **syscall) {
  if (reactor->running) return 0;
  int error = make_descriptors(reactor, syscall);
  if (!error) {
    *syscall = "pthread_create";
    if (reactor->timers) arm(reactor, reactor->timers->due);
    error = thread_start(&reactor->thread, NULL, run, reactor);
  }
  if (error) {
    close_all(reactor);
    reactor->woken.watched = reactor->rung.watched = false;
  }
  reactor->running = error == 0;
  return error;
}

void reactor_stop(struct im_reactor *reactor) {
  if (!reactor->running) return;
  __atomic_store_n(&reactor->stopping, 1, __ATOMIC_RELEASE);
  reactor_wake(reactor);
  pthread_join(reactor->thread, NULL);
  pthread_mutex_lock(&reactor->lock);
  close_all(reactor);
  reactor->running = false;
  pthread_mutex_unlock(&reactor->lock);
}

void reactor_free(struct im_reactor *reactor) {
  free_buried(reactor);
  pthread_mutex_destroy(&reactor->lock);
}
