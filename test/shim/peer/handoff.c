#define _GNU_SOURCE
#include "handoff.h"

#include "connector/internal.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define LONG_MS 600000

static int meeting;
static struct sockaddr_in6 meeting_at;

/* IPv6 sockets with mapped addresses, as connectors make them; the accepted ones are what the listener is. */
static struct sockaddr_in6 mapped(struct sockaddr_in four) {
  struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = four.sin_port};
  six.sin6_addr.s6_addr[10] = six.sin6_addr.s6_addr[11] = 0xff;
  memcpy(&six.sin6_addr.s6_addr[12], &four.sin_addr, sizeof four.sin_addr);
  return six;
}

static void tell(void *context, enum im_event event, uint32_t subject, int32_t detail) {
  (void)context, (void)event, (void)subject, (void)detail;
}

void handoff_start(struct cluster *cluster) {
  socklen_t size = sizeof meeting_at;
  meeting_at = mapped(connection_address(0x7f000001u, 0));
  meeting = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (meeting < 0 || bind(meeting, (struct sockaddr *)&meeting_at, size) != 0 || listen(meeting, 16) != 0 ||
      getsockname(meeting, (struct sockaddr *)&meeting_at, &size) != 0)
    die("meeting");
  for (unsigned i = 0; i < cluster->count; i++) {
    /* The thread is there from the first opening on, and the pairs below are none: this one is refused. */
    struct im_opening nowhere = {.purpose = IM_POOL_OUT, .remote = 0x7f000001u, .remote_port = 1, .timeout = 1000};
    struct im_connector *connector = cluster->hosts[i].connector = connector_create(cluster->alias_base, tell, 0);
    if (!connector || connector_open(connector, &nowhere) != 0) die("connector");
  }
}

void handoff_listeners(struct host *host) {
  static struct im_listener listeners[MAX_PORTS];
  size_t count = 0;
  for (unsigned i = 0; host->connector && i < host->ports_count; i++)
    if (host->ports[i].scope < IM_SCOPE_LOOPBACK)
      listeners[count++] = (struct im_listener){host->ports[i].port, host->ports[i].real_port, host->ports[i].real};
  if (host->connector) connector_listeners(host->connector, listeners, count);
}

/* Connected to each other, as connectors leave them: the guest's own by a connect that did not block. Their port. */
static uint16_t make_pair(int ends[2]) {
  struct sockaddr_in6 at;
  socklen_t size = sizeof at;
  int on = 1;
  ends[0] = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (ends[0] < 0 ||
      (connect(ends[0], (struct sockaddr *)&meeting_at, sizeof meeting_at) != 0 && errno != EINPROGRESS) ||
      (ends[1] = accept4(meeting, 0, 0, SOCK_CLOEXEC | SOCK_NONBLOCK)) < 0 ||
      getsockname(ends[0], (struct sockaddr *)&at, &size) != 0)
    die("pair");
  for (int i = 0; i < 2; i++) setsockopt(ends[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return ntohs(at.sin6_port);
}

/* As if it had been opened there. */
static void add(struct im_connector *connector, int fd, const struct im_opening *what, const struct im_use *use) {
  struct im_connection *connection = connection_make(what, use);
  if (!connection) die("connection");
  connection->fd = fd;
  pthread_mutex_lock(&connector->reactor.lock);
  connection_add(connector, connection, NULL, NULL);
  connection_until(connector, connection, clock_now() + LONG_MS * IM_MS);
  if (!connection_watch(connector, connection) || !pool_expect(connector, what, 1)) die("watch");
  use->on_open(connector, connection);
  pthread_mutex_unlock(&connector->reactor.lock);
}

void handoff_pool(struct host *from, struct host *to) {
  int ends[2];
  struct im_opening what = {.purpose = IM_POOL_IN, .peer = from->address, .epoch = from->epoch};
  uint16_t port = make_pair(ends);
  add(to->connector, ends[1], &what, &pool_in);
  what = (struct im_opening){.purpose = IM_POOL_OUT, .peer = to->address, .epoch = to->epoch, .local_port = port};
  add(from->connector, ends[0], &what, &pool_out);
}

/* Nothing is ever on its way here, for anybody to wait for. */
static const struct im_requester nobody;

bool handoff_answer(struct host *host, struct im_request *request, int reply) {
  return host->connector && connector_answer(host->connector, request, reply, &nobody);
}

void handoff_dead(const struct host *to, int reply) {
  const struct linger now = {.l_onoff = 1, .l_linger = 0};
  int ends[2];
  uint16_t port = make_pair(ends);
  setsockopt(ends[1], SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close(ends[1]);
  struct pollfd reset = {.fd = ends[0]};
  if (poll(&reset, 1, LONG_MS) != 1) die("reset");
  const struct im_opening what = {.epoch = to->epoch};
  reply_connected(reply, ends[0], port, &what);
  close(ends[0]);
}

void handoff_connect(struct host *from, struct host *to, const struct im_request *request, int reply) {
  int ends[2], off = 0;
  uint16_t port = make_pair(ends);
  setsockopt(ends[0], IPPROTO_TCP, TCP_NODELAY, &off, sizeof off); /* as reply.c gives it */
  if (request->real_port) port = request->real_port;
  const struct im_opening given_as = {.epoch = to->epoch};
  bool given = reply_connected(reply, ends[0], port, &given_as);
  close(ends[0]);
  if (!given) {
    close(ends[1]);
    return;
  }
  struct im_opening what = {
      .purpose = IM_DELIVER, .peer = from->address, .epoch = from->epoch, .port = request->port, .source_port = port};
  add(to->connector, ends[1], &what, &deliver_use);
}
