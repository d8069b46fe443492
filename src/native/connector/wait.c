#define _GNU_SOURCE
#include "contract/abi/abi.h"
#include "internal.h"

#include <stdlib.h>
#include <unistd.h>

/*
 * The pool is empty and connections for it are being made: one of those comes sooner, and costs less, than another one
 * that is agreed on for this guest alone. First come, first served; a guest never waits for one that is not on its way.
 */

/*
 * Then the request goes another way. More than a round trip anywhere, less than a SYN that was lost costs.
 */
#define LIMIT (500 * IM_MS)

struct im_waiter {
  struct im_waiter *next;
  struct im_pool *pool;
  struct im_timer timer;
  struct im_request request;
  struct im_requester requester;
  int reply_to;
};

/* The caller owns it. */
static struct im_waiter *take(struct im_connector *connector, struct im_pool *pool, struct im_waiter *waiter) {
  struct im_waiter **place = &pool->waiters;
  while (*place != waiter) place = &(*place)->next;
  *place = waiter->next;
  pool->waiting--;
  reactor_clear(&connector->reactor, &waiter->timer);
  return waiter;
}

static void give_back(struct im_waiter *waiter) {
  waiter->requester.late(waiter->requester.context, &waiter->request, waiter->reply_to);
  free(waiter);
}

static void on_time(void *context, void *owner) {
  struct im_waiter *waiter = owner;
  give_back(take(context, waiter->pool, waiter));
}

/* A connection is ready, or fewer are on their way. */
static void on_change(struct im_connector *connector, struct im_pool *pool) {
  while (pool->first && pool->waiters) {
    struct im_waiter *waiter = take(connector, pool, pool->waiters);
    if (reply_unwanted(waiter->reply_to)) {
      close(waiter->reply_to);
      free(waiter);
    } else if (confirm_give(connector, &waiter->request, waiter->reply_to)) {
      free(waiter);
    } else {
      give_back(waiter);
    }
  }
  while (pool->waiting > pool->coming) give_back(take(connector, pool, pool->waiters));
}

bool wait_begin(struct im_connector *connector, struct im_pool *pool, const struct im_request *request, int reply_to,
                const struct im_requester *requester) {
  struct im_waiter *waiter = pool->waiting < pool->coming ? malloc(sizeof *waiter) : NULL;
  if (!waiter) return false;
  *waiter = (struct im_waiter){.pool = pool,
                               .timer = {.on_time = on_time, .owner = waiter},
                               .request = *request,
                               .requester = *requester,
                               .reply_to = reply_to};
  struct im_waiter **place = &pool->waiters;
  while (*place) place = &(*place)->next;
  *place = waiter;
  pool->waiting++;
  pool->on_change = on_change;
  reactor_set(&connector->reactor, &waiter->timer, clock_now() + LIMIT);
  pool_low(connector, pool);
  return true;
}

void wait_withdraw(struct im_connector *connector, const void *context) {
  for (struct im_pool *pool = connector->pools; pool; pool = pool->next) {
    for (struct im_waiter *waiter = pool->waiters, *after; waiter; waiter = after) {
      after = waiter->next;
      if (waiter->requester.context != context) continue;
      close(waiter->reply_to);
      free(take(connector, pool, waiter));
    }
  }
}
