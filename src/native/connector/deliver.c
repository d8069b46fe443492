#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct im_listener *listener_of(const struct im_connector *connector, uint16_t port) {
  for (size_t i = 0; i < connector->listeners_count; i++)
    if (connector->listeners[i].port == port) return &connector->listeners[i];
  return NULL;
}

/*
 * Boxer's signal connection: from the loopback alias of the host that the connection is from, to the guest's real
 * listener. The kernel queues it and wakes the guest, as it would for the real one; the shim's accept then sends a
 * request for that.
 */
static int signal_listener(struct im_connection *connection, uint32_t alias, const struct im_listener *listener) {
  struct sockaddr_in from = connection_address(alias, 0), to = connection_address(listener->real, listener->real_port);
  socklen_t size = sizeof from;
  int on = 1;
  connection->signal = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  /* Its port is chosen when it connects: only one that is free for this destination is looked for. */
  if (connection->signal >= 0) setsockopt(connection->signal, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  if (connection->signal < 0 || bind(connection->signal, (struct sockaddr *)&from, sizeof from) != 0) return errno;
  /* A full queue is waited for by the kernel, as the other side's kernel would. */
  if (connect(connection->signal, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS) return errno;
  if (getsockname(connection->signal, (struct sockaddr *)&from, &size) != 0) return errno;
  connection->signal_port = ntohs(from.sin_port);
  connection->signalled_port = listener->real_port;
  return 0;
}

/*
 * One byte, which nobody reads: the kernel sends it again until the connection is in the listener's queue. Without it,
 * one that was made by SYN cookies while that was full, or to a listener that waits for data, would never get there.
 */
static void push(struct im_connector *connector, struct im_connection *connection) {
  bool sent = send(connection->signal, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1;
  uint32_t events = sent ? EPOLLRDHUP : EPOLLRDHUP | EPOLLOUT;
  if (!reactor_watch(&connector->reactor, &connection->of_signal, connection->signal, events))
    connection_close(connector, connection);
}

static void forget(struct im_connector *connector, struct im_connection *connection) {
  struct im_connection **place = &connector->signalled[connection->signal_port % IM_BUCKETS];
  while (*place && *place != connection) place = &(*place)->signal_next;
  if (*place) *place = connection->signal_next;
}

static void on_signal(void *context, void *owner, uint32_t events) {
  struct im_connector *connector = context;
  struct im_connection *connection = owner;
  /* The listener was closed with the connection in its queue: as natively, that resets it. */
  if (events & (EPOLLHUP | EPOLLERR)) return connection_close(connector, connection);
  if (events & EPOLLRDHUP) {
    /* The guest has accepted the signal and had no descriptor left for the connection. */
    forget(connector, connection);
    reactor_unwatch(&connector->reactor, &connection->of_signal);
    close(connection->signal);
    connection->signal = -1;
    return deliver_start(connector, connection);
  }
  if (events & EPOLLOUT) push(connector, connection);
}

static const struct im_stage signalled = {.on_forget = forget};

void deliver_start(struct im_connector *connector, struct im_connection *connection) {
  const struct im_opening *what = &connection->what;
  const struct im_listener *listener = listener_of(connector, what->port);
  uint32_t peer = what->peer;
  reactor_unwatch(&connector->reactor, &connection->of_fd);
  uint32_t alias = connector->alias_base | (what->outside ? 0 : peer & 0xffff);
  if (!listener || signal_listener(connection, alias, listener) != 0) {
    uint16_t port = what->port;
    connection_close(connector, connection);
    connector->report(connector->context, IM_EVENT_REFUSED, peer, port);
    return;
  }
  struct im_connection **bucket = &connector->signalled[connection->signal_port % IM_BUCKETS];
  connection->stage = &signalled;
  connection->signal_next = *bucket;
  *bucket = connection;
  connection->of_signal.on_event = on_signal;
  connection_until(connector, connection, IM_NEVER);
  push(connector, connection);
}

/* Whether a signal from the loopback alias of `peer` (0: of the outside) stands for this connection. */
static bool is_from(const struct im_connection *connection, uint32_t peer) {
  const struct im_opening *what = &connection->what;
  return what->outside ? peer == 0 : peer != 0 && ((what->peer ^ peer) & 0xffff) == 0;
}

struct im_connection *deliver_find(struct im_connector *connector, uint32_t peer, uint16_t signal_port,
                                   uint16_t signalled_port) {
  struct im_connection *connection = connector->signalled[signal_port % IM_BUCKETS];
  while (connection && (connection->signal_port != signal_port || connection->signalled_port != signalled_port ||
                        !is_from(connection, peer)))
    connection = connection->signal_next;
  return connection;
}

const struct im_use deliver_use = {.on_open = deliver_start};
