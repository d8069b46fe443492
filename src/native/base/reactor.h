/*
 * One thread that waits for descriptors and for moments. It knows none of its users: a source and a timer carry their
 * callbacks, as libuv's uv__io_t does.
 *
 * The thread holds `lock` whenever it does not wait, so callbacks run with the lock held. Everything below is called
 * with the lock held, unless it says "Any thread". A user without other threads never takes the lock.
 */
#ifndef IMAGINARY_REACTOR_H
#define IMAGINARY_REACTOR_H

#include "clock.h"

#include <pthread.h>
#include <stdbool.h>

/* A descriptor that is watched. Part of its owner. */
struct im_source {
  void (*on_event)(void *context, void *owner, uint32_t events);
  void *owner;
  bool watched;
  int fd;
  struct im_source *next_buried;
};

/* A moment, by clock_now(). Part of its owner; fires once. */
struct im_timer {
  void (*on_time)(void *context, void *owner);
  void *owner;
  int64_t due;
  struct im_timer *child, *next, **at; /* a pairing heap; `at`: what points here, NULL: not set */
};

struct im_reactor {
  pthread_mutex_t lock;
  int wanted; /* threads in `reactor_lock`; atomic */
  bool running, awake;
  int stopping; /* atomic */
  int set, wake, alarm;
  pthread_t thread;
  struct im_source woken, rung;
  struct im_timer *timers; /* the earliest */
  int64_t armed;           /* for when `alarm` was set last */
  int64_t wakes_at;        /* the thread, unless an event comes before */
  struct im_source *buried;
  void *context;
  bool (*on_round)(void *context);
};

/*
 * `context` is every callback's. `on_round` (may be NULL) is called after each round of events and timers; true: there
 * is more to do, and the next round does not wait.
 */
void reactor_init(struct im_reactor *reactor, void *context, bool (*on_round)(void *context));
/* Makes the descriptors and the thread, unless it runs. 0, or an errno and *syscall, the call that failed. */
int reactor_start(struct im_reactor *reactor, const char **syscall);
/* Ends the thread and closes its descriptors. Any thread but its own, without the lock. */
void reactor_stop(struct im_reactor *reactor);
/* After `reactor_stop`. Frees what is buried. */
void reactor_free(struct im_reactor *reactor);

/* Takes the lock for a thread that a guest waits for: the reactor stands back between two events. */
void reactor_lock(struct im_reactor *reactor);
void reactor_unlock(struct im_reactor *reactor);

/* Begins a round. Any thread. */
void reactor_wake(struct im_reactor *reactor);

/* Watches the descriptor, or changes its events. False with errno: there is no memory for it. */
bool reactor_watch(struct im_reactor *reactor, struct im_source *source, int fd, uint32_t events);
void reactor_unwatch(struct im_reactor *reactor, struct im_source *source);
/*
 * Frees the source's owner at the end of the round: until then, fetched events may point there. The source is not
 * watched any more.
 */
void reactor_bury(struct im_reactor *reactor, struct im_source *source);

/* Sets the timer, or sets it anew. A moment that has passed is the next round's. */
void reactor_set(struct im_reactor *reactor, struct im_timer *timer, int64_t due);
void reactor_clear(struct im_reactor *reactor, struct im_timer *timer);

#endif
