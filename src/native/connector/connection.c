#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* In no list any more: freed after the round. A walk through the list may still meet it, and passes it by. */
static const struct im_stage over = {0};

static void on_event(void *context, void *owner, uint32_t events) {
  struct im_connection *connection = owner;
  if (connection->stage->on_event) connection->stage->on_event(context, connection, events);
}

static void on_time(void *context, void *owner) {
  struct im_connection *connection = owner;
  if (connection->deadline <= clock_now()) {
    if (connection->stage->on_late) return connection->stage->on_late(context, connection);
    return connection_fail(context, connection, ETIMEDOUT);
  }
  connection->stage->on_time(context, connection);
}

struct im_connection *connection_make(const struct im_opening *what, const struct im_use *use) {
  struct im_connection *connection = calloc(1, sizeof *connection);
  if (!connection) return NULL;
  connection->what = *what;
  connection->use = use;
  connection->fd = connection->signal = -1;
  connection->of_fd = (struct im_source){.on_event = on_event, .owner = connection};
  connection->of_signal = (struct im_source){.owner = connection};
  connection->timer = (struct im_timer){.on_time = on_time, .owner = connection};
  return connection;
}

void connection_add(struct im_connector *connector, struct im_connection *connection, const struct im_asker *asker,
                    void *asked) {
  connection->asker = asker;
  connection->asked = asked;
  connection->next = connector->all;
  if (connector->all) connector->all->previous = connection;
  connector->all = connection;
  connection->deadline = clock_now() + connection->what.timeout * IM_MS;
}

bool connection_watch(struct im_connector *connector, struct im_connection *connection) {
  uint32_t events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  if (reactor_watch(&connector->reactor, &connection->of_fd, connection->fd, events)) return true;
  connection_until(connector, connection, 0); /* closed by the timer: here it may be in the middle of something */
  return false;
}

void connection_at(struct im_connector *connector, struct im_connection *connection, int64_t moment) {
  int64_t due = moment < connection->deadline ? moment : connection->deadline;
  if (due == IM_NEVER)
    reactor_clear(&connector->reactor, &connection->timer);
  else
    reactor_set(&connector->reactor, &connection->timer, due);
}

void connection_until(struct im_connector *connector, struct im_connection *connection, int64_t deadline) {
  connection->deadline = deadline;
  connection_at(connector, connection, deadline);
}

void connection_reset(int fd) {
  struct linger now = {.l_onoff = 1, .l_linger = 0};
  if (fd < 0) return;
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close(fd);
}

void connection_discard(struct im_connection *connection) {
  if (connection) connection_reset(connection->fd);
  free(connection);
}

/* `next` stays: a walk that stands here goes on, to connections that are as old or older. */
static void forget(struct im_connector *connector, struct im_connection *connection, int error) {
  const struct im_stage *stage = connection->stage;
  const struct im_asker *asker = connection->asker;
  connection->stage = &over;
  connection->asker = NULL;
  reactor_clear(&connector->reactor, &connection->timer);
  if (connection->next) connection->next->previous = connection->previous;
  if (connection->previous)
    connection->previous->next = connection->next;
  else
    connector->all = connection->next;
  if (stage->on_forget) stage->on_forget(connector, connection);
  if (stage->opening && connection->use->on_fail) connection->use->on_fail(connector, connection);
  if (asker) asker->on_fail(connector, connection, error);
  reactor_unwatch(&connector->reactor, &connection->of_signal);
  connection_reset(connection->signal);
  connection->signal = connection->fd = -1;
  reactor_bury(&connector->reactor, &connection->of_fd);
}

void connection_fail(struct im_connector *connector, struct im_connection *connection, int error) {
  if (connection->stage->on_close) connection->stage->on_close(connector, connection);
  reactor_unwatch(&connector->reactor, &connection->of_fd);
  connection_reset(connection->fd);
  forget(connector, connection, error);
}

void connection_close(struct im_connector *connector, struct im_connection *connection) {
  connection_fail(connector, connection, 0);
}

void connection_let_go(struct im_connector *connector, struct im_connection *connection) {
  reactor_unwatch(&connector->reactor, &connection->of_fd);
  forget(connector, connection, 0);
}
