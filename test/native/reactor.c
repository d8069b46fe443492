/* The reactor, under sanitizers: timers in their order, wake-ups from other threads, owners that end within a round. */
#define _GNU_SOURCE
#include "base/reactor.h"
#include "members.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define TIMERS 500

static struct im_reactor reactor;
static struct im_timer timers[TIMERS];
static int64_t last_due;
static int fired, expected, rounds;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void on_time(void *context, void *owner) {
  const struct im_timer *timer = owner;
  CHECK(context == &reactor && !timer->at && timer->due <= clock_now());
  CHECK(timer->due >= last_due);
  last_due = timer->due;
  fired++;
  pthread_cond_signal(&changed);
}

static bool on_round(void *context) {
  (void)context;
  rounds++;
  pthread_cond_signal(&changed);
  return false;
}

static void until(const int *value, int wanted) {
  while (*value < wanted) pthread_cond_wait(&changed, &reactor.lock);
}

static void in_order(void) {
  puts("timers fire in their order, those that were set anew or cleared too");
  int64_t now = clock_now();
  pthread_mutex_lock(&reactor.lock);
  for (int i = 0; i < TIMERS; i++) {
    timers[i] = (struct im_timer){.on_time = on_time, .owner = &timers[i]};
    reactor_set(&reactor, &timers[i], now + 20 * IM_MS + rand() % 1000 * 10000);
  }
  for (int i = 0; i < TIMERS; i += 3) reactor_clear(&reactor, &timers[i]);
  for (int i = 0; i < TIMERS; i += 2) reactor_set(&reactor, &timers[i], now + 20 * IM_MS + rand() % 1000 * 10000);
  for (int i = 0; i < TIMERS; i++) expected += timers[i].at != NULL;
  until(&fired, expected);
  CHECK(fired == expected && !reactor.timers);
  pthread_mutex_unlock(&reactor.lock);
}

static void economy(void) {
  puts("a moment that is later than the alarm wakes nobody; a wake-up does");
  pthread_mutex_lock(&reactor.lock);
  reactor_set(&reactor, &timers[0], clock_now() + 30 * IM_MS);
  int before = rounds;
  for (int i = 1; i < TIMERS; i++) reactor_set(&reactor, &timers[i], clock_now() + 60 * IM_MS);
  for (int i = 1; i < TIMERS; i++) reactor_clear(&reactor, &timers[i]);
  until(&fired, expected + 1);
  until(&rounds, before + 1);
  CHECK(rounds == before + 1);
  reactor_wake(&reactor);
  until(&rounds, before + 2);
  pthread_mutex_unlock(&reactor.lock);
}

/* Whichever gets its event first ends both: the other's event of the same round must not arrive. */
struct twin {
  struct im_source source;
  int fd;
  struct twin *other;
};
static int ended;

static void on_event(void *context, void *owner, uint32_t events) {
  struct twin *both[2] = {owner, ((struct twin *)owner)->other};
  CHECK(context == &reactor && events & EPOLLIN);
  for (int i = 0; i < 2; i++) {
    reactor_unwatch(&reactor, &both[i]->source);
    close(both[i]->fd);
    reactor_bury(&reactor, &both[i]->source);
  }
  ended++;
  pthread_cond_signal(&changed);
}

static void ends_in_a_round(void) {
  puts("an owner that ends within a round gets no event any more, and is freed after it");
  for (int i = 0; i < 50; i++) {
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0 && write(ends[0], "x", 1) == 1 &&
          write(ends[1], "x", 1) == 1);
    struct twin *a = calloc(1, sizeof *a), *b = calloc(1, sizeof *b);
    CHECK(a && b);
    *a = (struct twin){.source = {.on_event = on_event, .owner = a}, .fd = ends[0], .other = b};
    *b = (struct twin){.source = {.on_event = on_event, .owner = b}, .fd = ends[1], .other = a};
    pthread_mutex_lock(&reactor.lock);
    CHECK(reactor_watch(&reactor, &a->source, a->fd, EPOLLIN) && reactor_watch(&reactor, &b->source, b->fd, EPOLLIN));
    until(&ended, i + 1);
    pthread_mutex_unlock(&reactor.lock);
  }
}

int main(void) {
  int before = descriptors();
  const char *syscall;
  reactor_init(&reactor, &reactor, on_round);
  CHECK(reactor_start(&reactor, &syscall) == 0);
  in_order();
  economy();
  ends_in_a_round();
  pthread_mutex_lock(&reactor.lock);
  CHECK(ended == 50);
  pthread_mutex_unlock(&reactor.lock);
  reactor_stop(&reactor);
  reactor_free(&reactor);
  CHECK(descriptors() == before);
  puts("ok");
  return 0;
}
