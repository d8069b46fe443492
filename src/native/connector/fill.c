#define _GNU_SOURCE
#include "base/thread.h"
#include "internal.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

/*
 * Many connections for the pool, agreed on at once: JavaScript gets one event, when the last one is ready or has
 * failed. A separate thread opens them one at a time and yields after each: it costs the kernel a SYN's way through the
 * network, and a guest that is being connected meanwhile must not wait for all of them.
 */

static void settle(struct im_connector *connector, struct im_batch *batch, uint32_t count, bool good) {
  if (good) batch->good += count;
  batch->left -= count;
  if (batch->left || batch->begun < batch->count) return;
  if (batch->what.id) connector->report(connector->context, IM_EVENT_FILLED, batch->what.id, (int32_t)batch->good);
  free(batch);
}

static void on_open(struct im_connector *connector, struct im_connection *connection) {
  settle(connector, connection->asked, 1, true);
}

static void on_fail(struct im_connector *connector, struct im_connection *connection, int error) {
  (void)error;
  settle(connector, connection->asked, 1, false);
}

static const struct im_asker asker = {.on_open = on_open, .on_fail = on_fail};

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
  pthread_mutex_unlock(&connector->reactor.lock);
  struct im_connection *connection = connection_make(&one, batch->use);
  int result = connection ? opening_connect(connection) : ENOMEM;
  pthread_mutex_lock(&connector->reactor.lock);
  if (connection && !batch->over && !connector->stopping) {
    connection_add(connector, connection, &asker, batch);
    opening_start(connector, connection, result);
  } else {
    connection_discard(connection);
    pool_unexpect(connector, &one);
    settle(connector, batch, 1, false);
  }
  connector->beginning = NULL;
  pthread_mutex_unlock(&connector->reactor.lock);
  sched_yield();
  pthread_mutex_lock(&connector->reactor.lock);
}

static void *run(void *argument) {
  struct im_connector *connector = argument;
  pthread_mutex_lock(&connector->reactor.lock);
  while (!connector->stopping)
    if (connector->batches)
      begin_next(connector);
    else
      pthread_cond_wait(&connector->more, &connector->reactor.lock);
  pthread_mutex_unlock(&connector->reactor.lock);
  return NULL;
}

static int start(struct im_connector *connector) {
  const char *syscall;
  if (connector->stopping) return ESHUTDOWN;
  int error = reactor_start(&connector->reactor, &syscall);
  if (error || connector->filling) return error;
  error = thread_start(&connector->filler, NULL, run, connector);
  connector->filling = error == 0;
  return error;
}

int fill_begin(struct im_connector *connector, const struct im_opening *what, const struct im_use *use,
               const struct im_pair *pairs, size_t count) {
  if (!share_allows(connector, what, (uint32_t)count)) return EDQUOT;
  struct im_batch *batch = malloc(sizeof *batch + count * sizeof *pairs);
  if (!batch) return ENOMEM;
  *batch = (struct im_batch){.what = *what, .use = use, .count = (uint32_t)count, .left = (uint32_t)count};
  memcpy(batch->pairs, pairs, count * sizeof *pairs);
  int error = start(connector);
  if (!error && !pool_expect(connector, what, batch->count)) error = ENOMEM;
  if (error) return free(batch), error;
  struct im_batch **place = &connector->batches;
  while (*place) place = &(*place)->next;
  *place = batch;
  pthread_cond_signal(&connector->more);
  return 0;
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
  pthread_mutex_lock(&connector->reactor.lock);
  pthread_cond_signal(&connector->more);
  pthread_mutex_unlock(&connector->reactor.lock);
  pthread_join(connector->filler, NULL);
  pthread_mutex_lock(&connector->reactor.lock);
  connector->filling = false;
  fill_give_up(connector, 0, 0);
  pthread_mutex_unlock(&connector->reactor.lock);
}
