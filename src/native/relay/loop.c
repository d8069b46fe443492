#define _GNU_SOURCE
#include "parts.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int64_t relay_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void relay_tell(struct relay *relay, const struct relay_event *event) {
  relay->options.on_event(relay->options.context, event);
}

static void on_event(struct relay *relay, struct connection *connection, uint32_t events, int64_t now) {
  bool gone = events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
  switch (connection->state) {
  case FRESH: arrivals_read(relay, connection, now); return;
  case PROBED:
    if (gone) { /* it has what it came for */
      struct linger none = {.l_onoff = 0};
      setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
      queue_drop(relay, connection);
    }
    return;
  case WAITING:
    if (gone) arrivals_leave(relay, connection);
    return;
  case RELAYED:
    if (events & EPOLLERR) connection->relayed->troubled = true;
    pairs_add(relay, connection->relayed);
    return;
  case DEAD: return;
  }
}

static void expire(struct relay *relay, int64_t now) {
  while (relay->fresh.first && relay->fresh.first->deadline <= now) {
    arrivals_reject(relay, relay->fresh.first, "did not say what it wants in time");
  }
  while (relay->probes.first && relay->probes.first->deadline <= now) queue_drop(relay, relay->probes.first);
  for (struct expectation *due; (due = tokens_due(&relay->tokens, now));) {
    struct relay_event event = {.kind = RELAY_UNUSED, .id = due->id, .arrived = due->arrived ? 1 : 0};
    if (due->arrived) queue_drop(relay, due->arrived);
    free(due);
    relay_tell(relay, &event);
  }
  if (relay->accept_again && relay->accept_again <= now) {
    relay->accept_again = 0;
    arrivals_listen(relay, true);
  }
  if (relay->next_sweep <= now) {
    relay->next_sweep = now + SWEEP;
    pairs_sweep(relay);
  }
  arrivals_tell(relay, now);
}

static int time_to_wait(struct relay *relay, int64_t now) {
  if (relay->first_queued) return 0;
  int64_t next = INT64_MAX, due;
  if (relay->fresh.first) next = relay->fresh.first->deadline;
  if (relay->probes.first && relay->probes.first->deadline < next) next = relay->probes.first->deadline;
  tokens_count(&relay->tokens, &due);
  if (due >= 0 && due < next) next = due;
  if (relay->relayed && relay->next_sweep < next) next = relay->next_sweep;
  if (relay->accept_again && relay->accept_again < next) next = relay->accept_again;
  if (relay->rejected && relay->rejected_told + REJECTED_PAUSE < next) next = relay->rejected_told + REJECTED_PAUSE;
  if (next == INT64_MAX) return -1;
  return next <= now ? 0 : (int)(next - now < 60000 ? next - now : 60000);
}

void *relay_run(void *data) {
  struct relay *relay = data;
  struct epoll_event events[128];
  while (!atomic_load(&relay->stopping)) {
    int count = epoll_wait(relay->epoll, events, 128, time_to_wait(relay, relay_now()));
    int64_t now = relay_now();
    for (int i = 0; i < count; i++) {
      void *what = events[i].data.ptr;
      if (what == &relay->wake) {
        uint64_t woken;
        ssize_t got = read(relay->wake, &woken, sizeof woken);
        (void)got;
      } else if (what == &relay->listener) {
        arrivals_accept(relay, now);
      } else {
        on_event(relay, what, events[i].events, now);
      }
    }
    pairs_run(relay);
    expire(relay, now);
    queue_free_dead(relay);
  }
  return NULL;
}
