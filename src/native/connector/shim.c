#define _GNU_SOURCE
#include "contract/abi/abi.h"
#include "connector.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool tell(int reply_to, const struct im_reply *reply, int pass) {
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct iovec part = {.iov_base = (void *)(uintptr_t)reply, .iov_len = sizeof *reply};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (pass >= 0) {
    message.msg_control = control.space;
    message.msg_controllen = sizeof control.space;
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof pass);
    memcpy(CMSG_DATA(&control.header), &pass, sizeof pass);
  }
  ssize_t sent;
  do {
    sent = sendmsg(reply_to, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent == sizeof *reply;
}

static bool answer(int reply_to, const struct im_reply *reply, int pass) {
  bool told = tell(reply_to, reply, pass);
  close(reply_to);
  return told;
}

void shim_not_yet(int reply_to) {
  const struct im_reply not_yet = {.magic = IM_REPLY_MAGIC, .status = EAGAIN};
  tell(reply_to, &not_yet, -1);
}

bool shim_give(int reply_to, int fd, uint16_t port, uint64_t epoch) {
  struct im_reply reply = {
      .magic = IM_REPLY_MAGIC, .real_port = port, .transport = IM_TRANSPORT_HANDOFF, .epoch = epoch};
  return answer(reply_to, &reply, fd);
}

bool shim_connect(struct im_connector *connector, const struct im_request *request, int reply_to) {
  struct im_connection *connection = pool_take(connector, request->address, request->port, request->real_port);
  if (!connection) return false;
  uint16_t source = request->real_port ? request->real_port : connection->what.local_port;
  if (shim_give(reply_to, connection->fd, source, connection->what.epoch))
    return confirm_start(connector, connection), true;
  const struct linger now = {.l_onoff = 1, .l_linger = 0};
  setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now); /* nobody has it */
  connector_close(connector, connection);
  return true;
}

/* A guest connects to a port that its table lists. */
static bool connect_now(struct im_connector *connector, struct im_request *request, int reply_to,
                        const struct im_requester *requester) {
  if (shim_connect(connector, request, reply_to)) return true;
  struct im_pool *pool = pool_of(connector, request->address, false);
  bool ready = request->flags & IM_FLAG_READY;
  request->flags &= ~IM_FLAG_READY; /* whoever answers it in the end: that is done here */
  bool waits = pool && wait_begin(connector, pool, request, reply_to, requester);
  if (!waits && signalling_call(connector, request, reply_to, requester, ready)) return true;
  if (ready) shim_not_yet(reply_to);
  return waits;
}

/* A guest has accepted a signal connection. */
static bool accepted(struct im_connector *connector, const struct im_request *request, int reply_to) {
  struct im_connection *connection = deliver_take(connector, request->address, request->port, request->real_port);
  if (!connection) {
    struct im_reply gone = {.magic = IM_REPLY_MAGIC, .status = ECONNABORTED};
    return answer(reply_to, &gone, -1), true;
  }
  uint16_t source = connection->what.source_port;
  int fd = connection->fd;
  /* This end of the signal first: a reset that has come makes the guest's close of its own end a cheap one. */
  connector_let_go(connector, connection);
  (void)shim_give(reply_to, fd, source, connection->what.epoch);
  close(fd);
  return true;
}

bool connector_answer(struct im_connector *connector, struct im_request *request, int reply_to,
                      const struct im_requester *requester) {
  bool answered = false;
  bool listed = request->op == IM_OP_CONNECT && request->flags & IM_FLAG_LISTED;
  if (reply_to < 0 || (!listed && request->op != IM_OP_ACCEPT)) return false;
  if (wait_gone(reply_to)) return close(reply_to), true;
  __atomic_add_fetch(&connector->wanted, 1, __ATOMIC_RELAXED);
  pthread_mutex_lock(&connector->lock);
  __atomic_sub_fetch(&connector->wanted, 1, __ATOMIC_RELAXED);
  if (listed)
    answered = connect_now(connector, request, reply_to, requester);
  else
    answered = accepted(connector, request, reply_to);
  pthread_mutex_unlock(&connector->lock);
  return answered;
}
