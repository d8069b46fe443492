#define _GNU_SOURCE
#include "contract/abi/abi.h"
#include "internal.h"

#include <errno.h>
#include <linux/tcp.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * A guest has it already, and with it our header, which saves it a round trip. But a NAT in between may have forgotten
 * the connection since it was made: then whatever is sent vanishes, for as long as the kernel tries (some 15 minutes),
 * where a connect would have failed or worked. So a descriptor is kept here until the header is acknowledged: as short
 * as that, because a guest that closes its own closes the connection only with ours.
 */
#define CLOSED 7 /* of include/net/tcp_states.h */
#define FIRST_PAUSE IM_MS
#define LONGEST_PAUSE (64 * IM_MS)
/*
 * Looks, which together take some 1.5 s: two retransmissions of a header that was lost. They are counted, not measured:
 * a machine that has stood still for a while has not heard the other side either.
 */
#define MOST_LOOKS 28

/* Bytes of ours that the other side has. False: the connection is over. */
static bool acknowledged(int fd, uint64_t *bytes) {
  struct tcp_info info;
  socklen_t size = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 || info.tcpi_state == CLOSED) return false;
  *bytes = info.tcpi_bytes_acked;
  return true;
}

/* Bytes that the other side will have acknowledged when it has all that was sent so far; 0: the connection is over. */
static uint64_t sent(const struct im_connection *connection) {
  int waiting = 0;
  uint64_t bytes = 0;
  if (!acknowledged(connection->fd, &bytes) || ioctl(connection->fd, SIOCOUTQ, &waiting) != 0) return 0;
  return bytes + (uint64_t)waiting;
}

/* True: the other side has the header, or the connection is over. */
static bool done(struct im_connector *connector, struct im_connection *connection) {
  uint64_t bytes = 0;
  if (acknowledged(connection->fd, &bytes) && bytes < connection->confirmed) return false;
  int fd = connection->fd;
  connection_let_go(connector, connection);
  close(fd);
  return true;
}

/* The guest sees a reset. The others that were made along with it are no better. */
static void unacknowledged(struct im_connector *connector, struct im_connection *connection) {
  struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
  uint32_t peer = connection->what.peer;
  connect(connection->fd, &nowhere, sizeof nowhere);
  connection_close(connector, connection);
  pool_drop(connector, peer);
  connector->report(connector->context, IM_EVENT_SILENT, peer, 0);
}

static void look_again(struct im_connector *connector, struct im_connection *connection) {
  int64_t pause = FIRST_PAUSE << (connection->tries < 6 ? connection->tries : 6);
  if (done(connector, connection)) return;
  if (++connection->tries == MOST_LOOKS) return unacknowledged(connector, connection);
  connection_at(connector, connection, clock_now() + (pause < LONGEST_PAUSE ? pause : LONGEST_PAUSE));
}

/* An answer comes with an acknowledgement. */
static void on_event(struct im_connector *connector, struct im_connection *connection, uint32_t events) {
  (void)events;
  (void)done(connector, connection);
}

/* A guest's: it goes on. */
static void on_close(struct im_connector *connector, struct im_connection *connection) {
  reactor_unwatch(&connector->reactor, &connection->of_fd);
  close(connection->fd);
  connection->fd = -1;
}

static const struct im_stage given = {.on_event = on_event, .on_time = look_again, .on_close = on_close};

bool confirm_give(struct im_connector *connector, const struct im_request *request, int reply_to) {
  struct im_connection *connection = pool_take(connector, request->address, request->port, request->real_port);
  if (!connection) return false;
  uint16_t source = request->real_port ? request->real_port : connection->what.local_port;
  connection->confirmed = sent(connection);
  if (!reply_connected(reply_to, connection->fd, source, &connection->what))
    return connection_close(connector, connection), true;
  connection->stage = &given;
  connection->tries = 0;
  connection_until(connector, connection, IM_NEVER);
  if (!done(connector, connection)) connection_at(connector, connection, clock_now() + FIRST_PAUSE);
  return true;
}
