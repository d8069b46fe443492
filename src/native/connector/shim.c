#define _GNU_SOURCE
#include "contract/abi/abi.h"
#include "internal.h"

#include <errno.h>
#include <unistd.h>

/* A guest connects to a port that its table lists. */
static bool connect_now(struct im_connector *connector, struct im_request *request, int reply_to,
                        const struct im_requester *requester) {
  if (confirm_give(connector, request, reply_to)) return true;
  struct im_pool *pool = pool_of(connector, request->address, false);
  bool ready = request->flags & IM_FLAG_READY;
  request->flags &= ~IM_FLAG_READY; /* answered here, however the request is answered in the end */
  bool waits = pool && wait_begin(connector, pool, request, reply_to, requester);
  if (!waits && signalling_call(connector, request, reply_to, requester, ready)) return true;
  if (ready) reply_not_yet(reply_to);
  return waits;
}

/*
 * The same to a service, if that is one: its host is chosen here. A request that is given back says both, so that
 * another host can be chosen for it.
 */
static bool connect_chosen(struct im_connector *connector, struct im_request *request, int reply_to,
                           const struct im_requester *requester) {
  uint32_t service = request->address;
  struct im_place *place = service_choose(connector, service, request->port);
  if (place) {
    request->address = place->host;
    request->service = service;
  }
  bool answered = connect_now(connector, request, reply_to, requester);
  if (place && answered) {
    place->connections++;
    place->given++;
  }
  request->address = service;
  return answered;
}

/* A guest has accepted a signal connection. */
static void accepted(struct im_connector *connector, const struct im_request *request, int reply_to) {
  struct im_connection *connection = deliver_find(connector, request->address, request->port, request->real_port);
  if (!connection) return reply_failed(reply_to, ECONNABORTED);
  uint16_t source = connection->what.source_port;
  const struct im_opening what = connection->what;
  int fd = connection->fd;
  /* This end of the signal first: a reset that has come makes the guest's close of its own end a cheap one. */
  connection_let_go(connector, connection);
  (void)reply_connected(reply_to, fd, source, &what);
  close(fd);
}

bool connector_answer(struct im_connector *connector, struct im_request *request, int reply_to,
                      const struct im_requester *requester) {
  bool listed = request->op == IM_OP_CONNECT && request->flags & IM_FLAG_LISTED;
  if (reply_to < 0 || (!listed && request->op != IM_OP_ACCEPT)) return false;
  if (reply_unwanted(reply_to)) return close(reply_to), true;
  bool answered = true;
  reactor_lock(&connector->reactor);
  if (listed)
    answered = connect_chosen(connector, request, reply_to, requester);
  else
    accepted(connector, request, reply_to);
  reactor_unlock(&connector->reactor);
  return answered;
}
