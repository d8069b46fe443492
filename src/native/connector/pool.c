#define _GNU_SOURCE
#include "base/secret.h"
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Behind the secret, in network order. */
struct ports {
  uint16_t port, source_port;
};
_Static_assert(sizeof(struct ports) == IM_PORTS_SIZE, "ports");

struct im_pool *pool_of(struct im_connector *connector, uint32_t peer, bool make) {
  struct im_pool *pool = connector->pools;
  while (pool && pool->peer != peer) pool = pool->next;
  if (pool || !make || !(pool = calloc(1, sizeof *pool))) return pool;
  pool->peer = peer;
  pool->next = connector->pools;
  return connector->pools = pool;
}

bool pool_expect(struct im_connector *connector, const struct im_opening *what, uint32_t count) {
  if (what->purpose != IM_POOL_OUT) return true;
  struct im_pool *pool = pool_of(connector, what->peer, true);
  if (!pool) return false;
  pool->coming += count;
  pool->low = what->low;
  return true;
}

void pool_unexpect(struct im_connector *connector, const struct im_opening *what) {
  struct im_pool *pool = what->purpose == IM_POOL_OUT ? pool_of(connector, what->peer, false) : NULL;
  if (!pool) return;
  pool->coming--;
  if (pool->on_change) pool->on_change(connector, pool);
}

static void forget(struct im_connector *connector, struct im_connection *connection) {
  struct im_pool *pool = pool_of(connector, connection->what.peer, false);
  for (struct im_connection **place = pool ? &pool->first : NULL; place && *place; place = &(*place)->pool_next) {
    if (*place != connection) continue;
    *place = connection->pool_next;
    pool->count--;
    return;
  }
}

static void lose(struct im_connector *connector, struct im_connection *connection) {
  bool ours = connection->what.purpose == IM_POOL_OUT;
  uint32_t peer = connection->what.peer;
  connection_close(connector, connection);
  if (ours) connector->report(connector->context, IM_EVENT_LOST, peer, 0);
}

void pool_drop(struct im_connector *connector, uint32_t peer) {
  struct im_pool *pool = pool_of(connector, peer, false);
  while (pool && pool->first) connection_close(connector, pool->first);
}

static bool alive(int fd) {
  char byte;
  return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

/* ---- stage: ready, on the side that uses it ---- */

/* The other side sends nothing before it is used: an event means that it has ended. */
static void on_ready_event(struct im_connector *connector, struct im_connection *connection, uint32_t events) {
  (void)events;
  if (!alive(connection->fd)) lose(connector, connection);
}

static const struct im_stage ready = {.idle = true, .on_event = on_ready_event, .on_late = lose, .on_forget = forget};

static void out_opened(struct im_connector *connector, struct im_connection *connection) {
  struct im_pool *pool = pool_of(connector, connection->what.peer, true);
  const struct im_opening what = connection->what;
  opening_keep_alive(connection->fd, false);
  connection->stage = &ready;
  if (pool) { /* else it expires unused */
    connection->pool_next = pool->first;
    pool->first = connection;
    pool->count++;
  }
  on_ready_event(connector, connection, 0); /* its end may have come along with the secret, in the same event */
  pool_unexpect(connector, &what);
}

static void out_failed(struct im_connector *connector, struct im_connection *connection) {
  pool_unexpect(connector, &connection->what);
}

const struct im_use pool_out = {.on_open = out_opened, .on_fail = out_failed};

/*
 * Reported once when the level is crossed, since every event wakes Node.js; repeatedly only while no refill is under
 * way.
 */
void pool_low(struct im_connector *connector, const struct im_pool *pool) {
  int64_t left = (int64_t)pool->count + pool->coming - pool->waiting;
  if (left == pool->low || (left < pool->low && pool->coming == 0))
    connector->report(connector->context, IM_EVENT_USED, pool->peer, 0);
}

static bool send_header(const struct im_connection *connection, uint16_t port, uint16_t source_port) {
  uint8_t header[IM_SECRET_MOST + IM_PORTS_SIZE];
  const struct ports ports = {htons(port), htons(source_port)};
  size_t size = connection->what.send_size;
  memcpy(header, connection->what.send, size);
  memcpy(header + size, &ports, sizeof ports);
  size += sizeof ports;
  return send(connection->fd, header, size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size;
}

/* The newest first: what a NAT may have forgotten is the oldest. */
struct im_connection *pool_take(struct im_connector *connector, uint32_t peer, uint16_t port, uint16_t source_port) {
  struct im_pool *pool = pool_of(connector, peer, false);
  while (pool && pool->first) {
    struct im_connection *connection = pool->first;
    uint16_t source = source_port ? source_port : connection->what.local_port;
    if (alive(connection->fd) && send_header(connection, port, source)) {
      opening_for_guest(connector, connection->fd);
      forget(connector, connection);
      pool_low(connector, pool);
      return connection;
    }
    lose(connector, connection);
  }
  return NULL;
}

/* ---- stage: ready, on the side where it is used ---- */

/* Not one byte more than the header: what follows is the guest's. */
static void read_header(struct im_connector *connector, struct im_connection *connection) {
  struct im_opening *what = &connection->what;
  size_t size = (size_t)what->expect_size + IM_PORTS_SIZE;
  struct ports ports;
  ssize_t got = recv(connection->fd, connection->header + connection->got, size - connection->got, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return lose(connector, connection);
  connection->got = (uint8_t)(connection->got + got);
  if (connection->got < size) return;
  if (!secret_is(connection->header, what->expect, what->expect_size)) return lose(connector, connection);
  memcpy(&ports, connection->header + what->expect_size, sizeof ports);
  what->port = ntohs(ports.port);
  what->source_port = ntohs(ports.source_port);
  opening_for_guest(connector, connection->fd);
  deliver_start(connector, connection);
}

static void on_header_event(struct im_connector *connector, struct im_connection *connection, uint32_t events) {
  (void)events;
  read_header(connector, connection);
}

static const struct im_stage header = {.idle = true, .on_event = on_header_event, .on_late = lose, .look = read_header};

static void in_opened(struct im_connector *connector, struct im_connection *connection) {
  opening_keep_alive(connection->fd, false);
  connection->stage = &header;
  connection->got = 0;
  read_header(connector, connection);
}

const struct im_use pool_in = {.on_open = in_opened};
