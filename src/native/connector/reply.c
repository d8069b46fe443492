#define _GNU_SOURCE
#include "base/rights.h"
#include "contract/abi/abi.h"
#include "internal.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static bool answer(int reply_to, const struct im_reply *reply, int pass) {
  bool sent = rights_send(reply_to, reply, sizeof *reply, &pass, pass >= 0, MSG_DONTWAIT);
  close(reply_to);
  return sent;
}

void reply_not_yet(int reply_to) {
  const struct im_reply not_yet = {.magic = IM_REPLY_MAGIC, .status = EAGAIN};
  rights_send(reply_to, &not_yet, sizeof not_yet, NULL, 0, MSG_DONTWAIT);
}

void reply_failed(int reply_to, int error) {
  const struct im_reply failed = {.magic = IM_REPLY_MAGIC, .status = error};
  answer(reply_to, &failed, -1);
}

bool reply_connected(int reply_to, int fd, uint16_t port, const struct im_opening *what) {
  const struct im_reply connected = {.magic = IM_REPLY_MAGIC,
                                     .real = what->peer,
                                     .real_port = port,
                                     .transport = IM_TRANSPORT_HANDOFF,
                                     .epoch = what->epoch};
  return answer(reply_to, &connected, fd);
}

bool reply_unwanted(int reply_to) {
  struct pollfd look = {.fd = reply_to};
  return poll(&look, 1, 0) == 1 && look.revents & (POLLHUP | POLLERR);
}

static void give(struct im_connector *connector, struct im_connection *connection) {
  const struct im_opening *what = &connection->what;
  uint16_t port = what->source_port ? what->source_port : what->local_port;
  int fd = connection->fd, off = 0, waiting = 0;
  /* As a new socket has it, unless the guest's first small write would wait until what is ours is acknowledged. */
  if (ioctl(fd, SIOCOUTQ, &waiting) == 0 && waiting == 0) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &off, sizeof off);
  if (!reply_connected(what->reply_to, fd, port, what)) return connection_close(connector, connection);
  connection_let_go(connector, connection);
  close(fd);
}

const struct im_use reply_use = {.on_open = give};
