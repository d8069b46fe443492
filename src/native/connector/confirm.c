#define _GNU_SOURCE
#include "connector.h"

#include <errno.h>
#include <linux/tcp.h>
#include <linux/sockios.h>
#include <sys/epoll.h>
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
#define FIRST_PAUSE 1
#define LONGEST_PAUSE 64
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

uint64_t confirm_sent(const struct im_connection *connection) {
  int waiting = 0;
  uint64_t bytes = 0;
  if (!acknowledged(connection->fd, &bytes) || ioctl(connection->fd, SIOCOUTQ, &waiting) != 0) return 0;
  return bytes + (uint64_t)waiting;
}

static void done(struct im_connector *connector, struct im_connection *connection) {
  int fd = connection->fd;
  connector_let_go(connector, connection);
  close(fd);
}

void confirm_start(struct im_connector *connector, struct im_connection *connection) {
  int64_t now = connector_now();
  uint64_t bytes = 0;
  if (!acknowledged(connection->fd, &bytes) || bytes >= connection->confirmed) return done(connector, connection);
  connection->tries = 0;
  connection->again = now + FIRST_PAUSE;
  connection->deadline = INT64_MAX;
  /* It is still watched: an answer comes with an acknowledgement. */
  connector_hurry(connector, connection->again);
}

bool confirm_check(struct im_connector *connector, struct im_connection *connection) {
  int64_t now = connector_now(), pause = FIRST_PAUSE << (connection->tries < 6 ? connection->tries : 6);
  uint64_t bytes = 0;
  if (!acknowledged(connection->fd, &bytes) || bytes >= connection->confirmed)
    return done(connector, connection), false;
  if (now < connection->again) return false;
  if (++connection->tries < MOST_LOOKS) {
    connection->again = now + (pause < LONGEST_PAUSE ? pause : LONGEST_PAUSE);
    return false;
  }
  /* The guest sees a reset. The others that were made along with it are no better. */
  struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
  uint32_t peer = connection->what.peer;
  connect(connection->fd, &nowhere, sizeof nowhere);
  done(connector, connection);
  pool_drop(connector, peer);
  connector->tell(connector->context, IM_EVENT_SILENT, peer, 0);
  return true;
}
