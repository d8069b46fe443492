#define _GNU_SOURCE
#include "contract/abi/abi.h"
#include "connector.h"

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * The pool is empty and connections for it are being made: one of those comes sooner, and costs less, than another one
 * that is agreed on for this guest alone. First come, first served; nobody waits for one that is not on its way.
 */

/*
 * Milliseconds; then it is looked for another way. More than a round trip anywhere, less than a SYN that was lost
 * costs.
 */
#define LIMIT 500

struct im_waiter {
  struct im_waiter *next;
  struct im_request request;
  struct im_requester requester;
  int reply_to;
  int64_t deadline;
};

/* It did not wait so long: a connection that nobody takes would be one that ends at once on the other side. */
bool wait_gone(int reply_to) {
  struct pollfd look = {.fd = reply_to};
  return poll(&look, 1, 0) == 1 && look.revents & (POLLHUP | POLLERR);
}

bool wait_begin(struct im_connector *connector, struct im_pool *pool, const struct im_request *request, int reply_to,
                const struct im_requester *requester) {
  struct im_waiter *waiter = pool->waiting < pool->coming ? malloc(sizeof *waiter) : NULL;
  if (!waiter) return false;
  *waiter = (struct im_waiter){
      .request = *request, .requester = *requester, .reply_to = reply_to, .deadline = connector_now() + LIMIT};
  struct im_waiter **place = &pool->waiters;
  while (*place) place = &(*place)->next;
  *place = waiter;
  pool->waiting++;
  connector_hurry(connector, waiter->deadline);
  pool_low(connector, pool);
  return true;
}

static struct im_waiter *take(struct im_pool *pool) {
  struct im_waiter *waiter = pool->waiters;
  pool->waiters = waiter->next;
  pool->waiting--;
  return waiter;
}

static void hand_over(struct im_pool *pool) {
  struct im_waiter *waiter = take(pool);
  waiter->requester.late(waiter->requester.context, &waiter->request, waiter->reply_to);
  free(waiter);
}

void wait_serve(struct im_connector *connector, struct im_pool *pool) {
  while (pool->first && pool->waiters) {
    struct im_waiter *waiter = take(pool);
    if (wait_gone(waiter->reply_to))
      close(waiter->reply_to);
    else if (!shim_connect(connector, &waiter->request, waiter->reply_to))
      waiter->requester.late(waiter->requester.context, &waiter->request, waiter->reply_to);
    free(waiter);
  }
}

void wait_less(struct im_pool *pool) {
  while (pool->waiting > pool->coming) hand_over(pool);
}

int64_t wait_time(struct im_connector *connector, int64_t now) {
  int64_t next = INT64_MAX;
  for (struct im_pool *pool = connector->pools; pool; pool = pool->next) {
    while (pool->waiters && pool->waiters->deadline <= now) hand_over(pool);
    if (pool->waiters && pool->waiters->deadline < next) next = pool->waiters->deadline;
  }
  return next;
}

unsigned wait_count(const struct im_connector *connector) {
  unsigned count = 0;
  for (const struct im_pool *pool = connector->pools; pool; pool = pool->next) count += pool->waiting;
  return count;
}

void wait_withdraw(struct im_connector *connector, const void *context) {
  for (struct im_pool *pool = connector->pools; pool; pool = pool->next) {
    for (struct im_waiter **place = &pool->waiters; *place;) {
      struct im_waiter *waiter = *place;
      if (waiter->requester.context != context) {
        place = &waiter->next;
        continue;
      }
      *place = waiter->next;
      pool->waiting--;
      close(waiter->reply_to);
      free(waiter);
    }
  }
}
