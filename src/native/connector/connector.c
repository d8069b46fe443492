#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/*
 * Near: microseconds of a round trip, and milliseconds in which a connection is there as a rule. Without both, a
 * non-blocking simultaneous open at 0 ms takes 806 us instead of 543 to 596; with SOON alone, 661. Farther away
 * nothing changes.
 */
#define CLOSE_BY 150
#define SOON 2

struct im_connector *connector_create(uint32_t alias_base, void (*report)(void *, enum im_event, uint32_t, int32_t),
                                      void *context) {
  struct im_connector *connector = calloc(1, sizeof *connector);
  if (!connector) return NULL;
  reactor_init(&connector->reactor, connector, NULL);
  pthread_cond_init(&connector->more, NULL);
  connector->references = 1;
  connector->alias_base = alias_base;
  connector->share = share_total();
  opening_read_defaults(connector);
  connector->close_by = CLOSE_BY;
  connector->soon = SOON;
  connector->report = report;
  connector->context = context;
  return connector;
}

void connector_hold(struct im_connector *connector) { __atomic_add_fetch(&connector->references, 1, __ATOMIC_RELAXED); }

void connector_release(struct im_connector *connector) {
  if (__atomic_sub_fetch(&connector->references, 1, __ATOMIC_ACQ_REL) > 0) return;
  connector_stop(connector);
  reactor_free(&connector->reactor);
  free(connector->listeners);
  free(connector->places);
  pthread_cond_destroy(&connector->more);
  free(connector);
}

static void lock(struct im_connector *connector) { pthread_mutex_lock(&connector->reactor.lock); }
static void unlock(struct im_connector *connector) { pthread_mutex_unlock(&connector->reactor.lock); }

void connector_stop(struct im_connector *connector) {
  lock(connector);
  connector->stopping = true;
  unlock(connector);
  fill_stop(connector);
  reactor_stop(&connector->reactor);
  lock(connector);
  while (connector->all) connection_close(connector, connector->all);
  while (connector->pools) {
    struct im_pool *next = connector->pools->next;
    free(connector->pools);
    connector->pools = next;
  }
  unlock(connector);
}

/* ---- the events of one opening of JavaScript ---- */

static void on_open(struct im_connector *connector, struct im_connection *connection) {
  uint32_t id = connection->what.id;
  if (id && connection->what.purpose != IM_HAND)
    connector->report(connector->context, IM_EVENT_OPENED, id, connection->tries);
}

static void on_fail(struct im_connector *connector, struct im_connection *connection, int error) {
  uint32_t id = connection->what.id;
  if (id && error) connector->report(connector->context, IM_EVENT_FAILED, id, error);
}

static const struct im_asker javascript = {.on_open = on_open, .on_fail = on_fail};

/*
 * Reported last: JavaScript owns the descriptor from then on, and may have closed it before this thread gets any
 * further.
 */
static void hand(struct im_connector *connector, struct im_connection *connection) {
  uint32_t id = connection->what.id;
  int fd = connection->fd, four = AF_INET;
  setsockopt(fd, IPPROTO_IPV6, IPV6_ADDRFORM, &four, sizeof four); /* no guest's: as its reader knows it */
  opening_keep_alive(fd, true);
  connection_let_go(connector, connection);
  connector->report(connector->context, IM_EVENT_OPENED, id, fd);
}

static const struct im_use hand_use = {.on_open = hand};

static const struct im_use *const USES[] = {
    [IM_POOL_OUT] = &pool_out,
    [IM_POOL_IN] = &pool_in,
    [IM_GIVE] = &reply_use,
    [IM_DELIVER] = &deliver_use,
    [IM_HAND] = &hand_use,
    [IM_SIGNALLING_OUT] = &signalling_use,
    [IM_SIGNALLING_IN] = &signalling_use,
};

/* ---- what JavaScript asks for ---- */

/* The threads are there from the first connection on: a member that can connect directly never needs them. */
static int admit(struct im_connector *connector, const struct im_opening *what) {
  const char *syscall;
  if (connector->stopping) return ESHUTDOWN;
  int error = reactor_start(&connector->reactor, &syscall);
  if (error) return error;
  if (!share_allows(connector, what, 1)) return EDQUOT;
  return pool_expect(connector, what, 1) ? 0 : ENOMEM;
}

int connector_open(struct im_connector *connector, const struct im_opening *what) {
  struct im_connection *connection = connection_make(what, USES[what->purpose]);
  if (!connection) return ENOMEM;
  int result = opening_connect(connection);
  lock(connector);
  int error = admit(connector, what);
  if (error) {
    connection_discard(connection);
  } else {
    connection_add(connector, connection, NULL, NULL);
    error = opening_start(connector, connection, result);
    if (!error) connection->asker = &javascript;
  }
  unlock(connector);
  return error;
}

void connector_proved(struct im_connector *connector, uint32_t id) {
  lock(connector);
  for (struct im_connection *connection = connector->all, *after; connection; connection = after) {
    after = connection->next;
    if (connection->what.id == id && connection->stage->opening) opening_proved(connector, connection);
  }
  unlock(connector);
}

int connector_fill(struct im_connector *connector, const struct im_opening *what, const struct im_pair *pairs,
                   size_t count) {
  lock(connector);
  int error = fill_begin(connector, what, USES[what->purpose], pairs, count);
  unlock(connector);
  return error;
}

int connector_call(struct im_connector *connector, uint32_t id, uint32_t peer, uint32_t count, uint32_t low) {
  lock(connector);
  int error = connector->stopping ? ESHUTDOWN : signalling_fill(connector, id, peer, count, low);
  unlock(connector);
  return error;
}

bool connector_cancel(struct im_connector *connector, uint32_t id) {
  lock(connector);
  bool found = fill_give_up(connector, id, 0);
  for (struct im_connection *connection = connector->all, *after; connection; connection = after) {
    after = connection->next;
    if (connection->what.id != id || !connection->stage->opening) continue;
    connection_close(connector, connection);
    found = true;
  }
  unlock(connector);
  return found;
}

void connector_listeners(struct im_connector *connector, const struct im_listener *listeners, size_t count) {
  struct im_listener *copy = count ? malloc(count * sizeof *copy) : NULL;
  if (count && !copy) return;
  if (count) memcpy(copy, listeners, count * sizeof *copy);
  lock(connector);
  struct im_listener *old = connector->listeners;
  connector->listeners = copy;
  connector->listeners_count = count;
  unlock(connector);
  free(old);
}

static bool is_kept(const struct im_connection *connection) {
  bool pool = connection->what.purpose == IM_POOL_OUT || connection->what.purpose == IM_POOL_IN;
  return connection->stage->idle || (connection->stage->opening && pool);
}

void connector_drop(struct im_connector *connector, uint32_t peer) {
  lock(connector);
  fill_give_up(connector, 0, peer);
  for (struct im_connection *connection = connector->all, *after; connection; connection = after) {
    after = connection->next;
    if ((peer && connection->what.peer != peer) || !is_kept(connection)) continue;
    /* What the other side has sent already is delivered. */
    if (connection->stage->look) connection->stage->look(connector, connection);
    if (is_kept(connection)) connection_close(connector, connection);
  }
  unlock(connector);
}

unsigned connector_arriving(struct im_connector *connector) {
  unsigned count = 0;
  lock(connector);
  for (struct im_connection *connection = connector->all, *after; connection; connection = after) {
    after = connection->next;
    if (connection->stage->look) connection->stage->look(connector, connection);
    count += connection->signal >= 0 || (connection->stage->opening && connection->what.purpose == IM_DELIVER);
  }
  count += signalling_count(connector);
  for (const struct im_pool *pool = connector->pools; pool; pool = pool->next) count += pool->waiting;
  unlock(connector);
  return count;
}

int connector_ready(struct im_connector *connector, uint32_t peer) {
  int count = 0;
  lock(connector);
  for (const struct im_pool *pool = connector->pools; pool; pool = pool->next) {
    if (!peer) count += (int)pool->count;
    if (pool->peer == peer) count = (int)pool->count - (int)pool->waiting;
  }
  unlock(connector);
  return count;
}

void connector_withdraw(struct im_connector *connector, const void *context) {
  lock(connector);
  wait_withdraw(connector, context);
  signalling_withdraw(connector, context);
  unlock(connector);
}
