#define _GNU_SOURCE
#include "connector.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/*
 * Many connections for the pool, agreed on at once: JavaScript hears of them once, when the last one is ready or has
 * failed. They are begun by a thread that stands back after each for whoever waits for its processor: it costs the
 * kernel a SYN's way through the network, and a guest that is being connected meanwhile must not wait for all of them.
 */

struct im_batch {
  struct im_batch *next; /* has some that are not begun */
  struct im_opening what;
  uint32_t count, begun, left, good;
  bool over; /* given up: none of them is to be begun any more */
  struct im_pair pairs[];
};

static void settle(struct im_connector *connector, struct im_batch *batch, uint32_t count, bool good) {
  if (good) batch->good += count;
  batch->left -= count;
  if (batch->left || batch->begun < batch->count) return;
  if (batch->what.id) connector->tell(connector->context, IM_EVENT_FILLED, batch->what.id, (int32_t)batch->good);
  if (connector->beginning == batch)
    connector->beginning = NULL; /* its last one was faster than the thread that began it */
  free(batch);
}

bool fill_settled(struct im_connector *connector, struct im_connection *connection, bool good) {
  struct im_batch *batch = connection->batch;
  if (!batch) return false;
  connection->batch = NULL;
  settle(connector, batch, 1, good);
  return true;
}

void fill_count(const struct im_connector *connector, uint32_t peer, uint32_t *own, uint32_t *others) {
  for (const struct im_batch *batch = connector->batches; batch; batch = batch->next)
    if (batch->what.purpose == IM_POOL_IN) *(batch->what.peer == peer ? own : others) += batch->count - batch->begun;
}

bool fill_is_over(const struct im_batch *batch) { return batch && batch->over; }

static struct im_opening opening_of(const struct im_batch *batch, uint32_t index) {
  const struct im_pair *pair = &batch->pairs[index];
  struct im_opening one = batch->what;
  one.local_port = pair->local_port;
  one.remote_port = pair->remote_port;
  one.send_size = one.expect_size = sizeof pair->ours;
  memcpy(one.send, pair->ours, sizeof pair->ours);
  memcpy(one.expect, pair->theirs, sizeof pair->theirs);
  return one;
}

static void begin_next(struct im_connector *connector) {
  struct im_batch *batch = connector->batches;
  struct im_opening one = opening_of(batch, batch->begun++);
  if (batch->begun == batch->count) connector->batches = batch->next;
  connector->beginning = batch;
  pthread_mutex_unlock(&connector->lock);
  int error = connector_begin(connector, &one, batch);
  sched_yield();
  pthread_mutex_lock(&connector->lock);
  connector->beginning = NULL;
  if (!error) return;
  pool_unexpect(connector, &one);
  settle(connector, batch, 1, false);
}

static void *run(void *argument) {
  struct im_connector *connector = argument;

  pthread_mutex_lock(&connector->lock);
  while (!connector->stopping)
    if (connector->batches)
      begin_next(connector);
    else
      pthread_cond_wait(&connector->more, &connector->lock);
  pthread_mutex_unlock(&connector->lock);
  return NULL;
}

static int start(struct im_connector *connector) {
  sigset_t all, before;
  if (connector->filling) return 0;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the JavaScript thread's */
  int error = pthread_create(&connector->filler, NULL, run, connector);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  connector->filling = error == 0;
  return error;
}

int fill_begin(struct im_connector *connector, const struct im_opening *what, const struct im_pair *pairs,
               size_t count) {
  if (!share_allows(connector, what, (uint32_t)count)) return EDQUOT;
  struct im_batch *batch = malloc(sizeof *batch + count * sizeof *pairs);
  if (!batch) return ENOMEM;
  *batch = (struct im_batch){.what = *what, .count = (uint32_t)count, .left = (uint32_t)count};
  memcpy(batch->pairs, pairs, count * sizeof *pairs);
  int error = connector->stopping ? ESHUTDOWN : start(connector);
  if (!error && !pool_expect(connector, what, batch->count)) error = ENOMEM;
  if (error) return free(batch), error;
  struct im_batch **place = &connector->batches;
  while (*place) place = &(*place)->next;
  *place = batch;
  pthread_cond_signal(&connector->more);
  return 0;
}

int connector_fill(struct im_connector *connector, const struct im_opening *what, const struct im_pair *pairs,
                   size_t count) {
  pthread_mutex_lock(&connector->lock);
  int error = fill_begin(connector, what, pairs, count);
  pthread_mutex_unlock(&connector->lock);
  return error;
}

static bool is_of(const struct im_batch *batch, uint32_t id, uint32_t peer) {
  return (!id || batch->what.id == id) && (!peer || batch->what.peer == peer);
}

bool fill_give_up(struct im_connector *connector, uint32_t id, uint32_t peer) {
  struct im_batch *beginning = connector->beginning;
  bool found = beginning && !beginning->over && is_of(beginning, id, peer);
  if (found) beginning->over = true;
  for (struct im_batch **place = &connector->batches; *place;) {
    struct im_batch *batch = *place;
    if (!is_of(batch, id, peer)) {
      place = &batch->next;
      continue;
    }
    uint32_t rest = batch->count - batch->begun;
    *place = batch->next;
    found = batch->over = true;
    batch->begun = batch->count;
    for (uint32_t i = 0; i < rest; i++) pool_unexpect(connector, &batch->what);
    settle(connector, batch, rest, false);
  }
  return found;
}

void fill_stop(struct im_connector *connector) {
  if (!connector->filling) return;
  pthread_mutex_lock(&connector->lock);
  pthread_cond_signal(&connector->more);
  pthread_mutex_unlock(&connector->lock);
  pthread_join(connector->filler, NULL);
  pthread_mutex_lock(&connector->lock);
  connector->filling = false;
  fill_give_up(connector, 0, 0);
  pthread_mutex_unlock(&connector->lock);
}
