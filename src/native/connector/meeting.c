#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Where no NAT is in between, a SYN that comes before its time is answered with a reset, and two sides that try in turn
 * would never meet: one of them waits. A meeting point is a port of ours at which any number of connections wait, each
 * for one endpoint. That is known before a byte is read, so a stranger holds nothing here.
 */

#define ACCEPT_PAUSE (20 * IM_MS)

struct im_meeting_point {
  struct im_meeting_point *next;
  uint32_t local;
  uint16_t port;
  unsigned waiting;
  struct im_source source; /* the listener */
  struct im_timer timer;
};

static bool is_at(const struct im_connection *connection, const struct im_meeting_point *point) {
  return connection->what.local_port == point->port && connection->what.local == point->local;
}

/* Where that connection waits, or would. */
static struct im_meeting_point **place_of(struct im_connector *connector, const struct im_connection *connection) {
  struct im_meeting_point **place = &connector->meeting_points;
  while (*place && !is_at(connection, *place)) place = &(*place)->next;
  return place;
}

static void leave(struct im_connector *connector, struct im_connection *connection) {
  struct im_meeting_point **place = place_of(connector, connection), *point = *place;
  if (--point->waiting) return;
  *place = point->next;
  reactor_clear(&connector->reactor, &point->timer);
  reactor_unwatch(&connector->reactor, &point->source);
  close(point->source.fd);
  reactor_bury(&connector->reactor, &point->source);
}

static const struct im_stage meeting = {.opening = true, .on_forget = leave};

static struct im_connection *expected(const struct im_connector *connector, const struct im_meeting_point *point,
                                      const union im_address *from) {
  uint32_t ip = from->four.sin_addr.s_addr;
  if (from->any.sa_family == AF_INET6)
    memcpy(&ip, &from->six.sin6_addr.s6_addr[12], sizeof ip); /* mapped: so is the listener's */
  for (struct im_connection *one = connector->all; one; one = one->next)
    if (one->stage == &meeting && is_at(one, point) && htonl(one->what.remote) == ip &&
        (!one->what.remote_port || /* its NAT chooses one for us, and its secret proves it */
         htons(one->what.remote_port) == from->four.sin_port)) /* both families have it there */
      return one;
  return NULL;
}

/*
 * After an accept that failed, whether the next one may be there already. What is missing now, a descriptor or memory,
 * makes no event when it is there again: the connection that waits in the queue has made its only one.
 */
static bool may_accept(struct im_connector *connector, struct im_meeting_point *point) {
  if (errno == EINTR || errno == ECONNABORTED) return true;
  if (errno != EAGAIN) reactor_set(&connector->reactor, &point->timer, clock_now() + ACCEPT_PAUSE);
  return false;
}

static void accept_all(struct im_connector *connector, struct im_meeting_point *point) {
  for (bool last = false; !last;) {
    union im_address from;
    socklen_t size = sizeof from;
    int fd = accept4(point->source.fd, &from.any, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
      if (may_accept(connector, point)) continue;
      return;
    }
    struct im_connection *met = expected(connector, point, &from);
    if (!met) { /* not here, or not yet: it tries again */
      connection_reset(fd);
      continue;
    }
    last = point->waiting == 1;
    leave(connector, met);
    met->fd = fd;
    met->what.remote_port = ntohs(from.four.sin_port);
    met->on_met(connector, met);
  }
}

static void on_event(void *context, void *owner, uint32_t events) {
  (void)events;
  accept_all(context, owner);
}

static void on_time(void *context, void *owner) { accept_all(context, owner); }

/* With the listener of the connection that is the first there. */
static struct im_meeting_point *make(struct im_connector *connector, struct im_connection *connection) {
  struct im_meeting_point *point = calloc(1, sizeof *point);
  if (!point) return NULL;
  point->local = connection->what.local;
  point->port = connection->what.local_port;
  point->source = (struct im_source){.on_event = on_event, .owner = point};
  point->timer = (struct im_timer){.on_time = on_time, .owner = point};
  if (!reactor_watch(&connector->reactor, &point->source, connection->fd, EPOLLIN | EPOLLET)) return free(point), NULL;
  connection->fd = -1;
  return point;
}

int meeting_wait(struct im_connector *connector, struct im_connection *connection, int error) {
  struct im_meeting_point **place = place_of(connector, connection);
  if (*place) {
    if (error && error != EADDRINUSE) return error;
    if (connection->fd >= 0) close(connection->fd);
    connection->fd = -1;
  } else {
    if (error) return error;
    *place = make(connector, connection);
    if (!*place) return ENOMEM;
  }
  (*place)->waiting++;
  connection->stage = &meeting;
  return 0;
}
