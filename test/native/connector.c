/*
 * The connector without Node.js, under sanitizers: two of them, as two members in one process, that meet at a plain
 * forwarder. (Simultaneous open needs NATs in between, and is tested there: here a SYN that comes too early is answered
 * with a reset.)
 */
#define _GNU_SOURCE
#include "members.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- a forwarder: joins every two connections that arrive ---- */

static struct sockaddr_in forwarder;

static void *pump(void *argument) {
  int from = ((int *)argument)[0], to = ((int *)argument)[1];
  char bytes[4096];
  ssize_t got;
  free(argument);
  while ((got = read(from, bytes, sizeof bytes)) > 0)
    if (send(to, bytes, (size_t)got, MSG_NOSIGNAL) != got) break;
  if (got < 0) { /* a reset goes on as one */
    struct linger now = {1, 0};
    setsockopt(to, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }
  shutdown(to, got < 0 ? SHUT_RDWR : SHUT_WR);
  close(from);
  close(to);
  return NULL;
}

static void forward(int from, int to) {
  pthread_t thread;
  int *pair = malloc(2 * sizeof *pair);
  pair[0] = dup(from);
  pair[1] = dup(to);
  pthread_create(&thread, NULL, pump, pair);
  pthread_detach(thread);
}

static void *run_forwarder(void *argument) {
  int listener = *(int *)argument, first, second;
  while ((first = accept(listener, NULL, NULL)) >= 0 && (second = accept(listener, NULL, NULL)) >= 0) {
    forward(first, second);
    forward(second, first);
    close(first);
    close(second);
  }
  return NULL;
}

static struct im_opening opening(enum im_purpose purpose, uint32_t peer, const char *says, const char *hears) {
  return opening_to(&forwarder, purpose, peer, says, hears);
}

int main(void) {
  struct sockaddr_in at;
  int meeting = listen_at(HERE, 16, &forwarder), guest = listen_at(ALIAS_BASE | (API & 0xffff), 16, &at);
  pthread_t thread;
  pthread_create(&thread, NULL, run_forwarder, &meeting);
  int before = descriptors();
  struct member web, api;
  uint16_t port = 0, seen = 0;
  start(&web);
  start(&api);
  struct im_listener listens = {.port = 80, .real = ntohl(at.sin_addr.s_addr), .real_port = ntohs(at.sin_port)};
  connector_listeners(api.connector, &listens, 1);

  puts("a pooled connection: none is ready, then one is, with the port that the guest has bound");
  CHECK(ask(&web, connect_request(80, 0, IM_FLAG_READY), &port) == -EAGAIN);
  CHECK(ask(&web, connect_request(80, 0, 0), &port) == -ENOMSG);
  open_both(&web, opening(IM_POOL_OUT, API, "secret of web", "secret of api"), &api,
            opening(IM_POOL_IN, WEB, "secret of api", "secret of web"));
  expect(&web, IM_EVENT_OPENED, last_id - 1);
  expect(&api, IM_EVENT_OPENED, last_id);
  int client = ask(&web, connect_request(80, 4711, IM_FLAG_READY), &port);
  CHECK(client >= 0 && port == 4711);
  expect(&web, IM_EVENT_USED, API);
  int server = accept_handoff(&api, guest, &seen);
  CHECK(server >= 0 && seen == 4711);
  struct pollfd ready = {.fd = server, .events = POLLIN};
  CHECK(send(client, "ping", 4, 0) == 4 && poll(&ready, 1, 10000) == 1);
  char bytes[4];
  CHECK(recv(server, bytes, 4, 0) == 4);
  close(client);
  CHECK(is_over(server));
  close(server);

  puts("none is ready, one is on its way: a guest waits for it, a second one does not");
  struct im_opening slow = opening(IM_POOL_OUT, API, "a", "b");
  slow.id = last_id += 2;
  CHECK(connector_open(web.connector, &slow) == 0);
  int waits = begin(&web, connect_request(80, 4712, 0));
  CHECK(waits >= 0 && connector_arriving(web.connector) == 1 && connector_ready(web.connector, API) == -1);
  expect(&web, IM_EVENT_USED, API);
  CHECK(ask(&web, connect_request(80, 0, IM_FLAG_READY), &port) == -EAGAIN);
  CHECK(ask(&web, connect_request(80, 0, 0), &port) == -ENOMSG);
  struct im_opening in = opening(IM_POOL_IN, WEB, "b", "a");
  in.id = ++last_id;
  CHECK(connector_open(api.connector, &in) == 0);
  expect(&api, IM_EVENT_OPENED, in.id);
  expect(&web, IM_EVENT_OPENED, slow.id);
  expect(&web, IM_EVENT_USED, API);
  client = finish(waits, &port);
  CHECK(client >= 0 && port == 4712 && connector_arriving(web.connector) == 0 &&
        connector_ready(web.connector, API) == 0);
  server = accept_handoff(&api, guest, &seen);
  CHECK(server >= 0 && seen == 4712);
  close(client);
  CHECK(is_over(server));
  close(server);

  puts("one that waits and is gone leaves it to the others; what waits when it fails, or too long, is given back");
  slow.id = last_id += 2;
  CHECK(connector_open(web.connector, &slow) == 0);
  waits = begin(&web, connect_request(80, 0, 0));
  CHECK(waits >= 0);
  expect(&web, IM_EVENT_USED, API);
  close(waits);
  in.id = ++last_id;
  CHECK(connector_open(api.connector, &in) == 0);
  expect(&api, IM_EVENT_OPENED, in.id);
  expect(&web, IM_EVENT_OPENED, slow.id);
  client = ask(&web, connect_request(80, 0, 0), &port);
  expect(&web, IM_EVENT_USED, API);
  CHECK(client >= 0);
  server = accept_handoff(&api, guest, &seen);
  close(client);
  close(server);
  slow.id = ++last_id;
  slow.remote = 0x7f000001u; /* nobody's port, tried again and again */
  slow.remote_port = 1;
  slow.local = 0x7f000501u;
  slow.local_port = 20002;
  CHECK(connector_open(web.connector, &slow) == 0);
  waits = begin(&web, connect_request(80, 0, 0));
  expect(&web, IM_EVENT_USED, API);
  expect(&web, (enum im_event)LATE, 80); /* too long: the opening itself has ten times as much */
  close(waits);
  CHECK(connector_cancel(web.connector, slow.id));
  slow.id = ++last_id;
  slow.timeout = 100;
  CHECK(connector_open(web.connector, &slow) == 0);
  waits = begin(&web, connect_request(83, 0, 0));
  expect(&web, IM_EVENT_USED, API);
  expect(&web, (enum im_event)LATE, 83);
  expect(&web, IM_EVENT_FAILED, slow.id);
  close(waits);
  slow.id = ++last_id;
  slow.timeout = 60000;
  CHECK(connector_open(web.connector, &slow) == 0);
  waits = begin(&web, connect_request(84, 0, 0));
  expect(&web, IM_EVENT_USED, API);
  connector_withdraw(web.connector, &web);
  CHECK(is_over(waits)); /* its requester is closed: nothing is given back to it */
  close(waits);
  CHECK(connector_cancel(web.connector, slow.id) && connector_arriving(web.connector) == 0);

  puts("a secret that is not the one agreed on");
  open_both(&web, opening(IM_POOL_OUT, API, "a", "b"), &api, opening(IM_POOL_IN, WEB, "c", "a"));
  expect(&api, IM_EVENT_OPENED, last_id);
  CHECK(expect(&web, IM_EVENT_FAILED, last_id - 1).detail == EBADMSG);
  open_both(&web, opening(IM_POOL_OUT, API, "a", "b"), &api, opening(IM_POOL_IN, WEB, "b", "c"));
  expect(&web, IM_EVENT_OPENED, last_id - 1);
  expect(&api, IM_EVENT_OPENED, last_id);
  client = ask(&web, connect_request(80, 0, 0), &port);
  expect(&web, IM_EVENT_USED, API);
  CHECK(client >= 0 && is_over(client) && connector_arriving(api.connector) == 0); /* no guest sees it */
  close(client);

  puts("many at once: told of once, however each of them ends");
  struct im_opening many = opening(IM_POOL_OUT, API, "", "");
  struct im_pair pairs[2] = {{.remote_port = many.remote_port}, {.remote_port = 1}}; /* the second one's is nobody's */
  memcpy(pairs[0].ours, "secret of web...", IM_PAIR_SECRET);
  memcpy(pairs[0].theirs, "secret of api...", IM_PAIR_SECRET);
  many.id = ++last_id;
  CHECK(connector_fill(web.connector, &many, pairs, 2) == 0);
  in = opening(IM_POOL_IN, WEB, "secret of api...", "secret of web...");
  in.id = ++last_id;
  CHECK(connector_open(api.connector, &in) == 0);
  expect(&api, IM_EVENT_OPENED, in.id);
  CHECK(expect(&web, IM_EVENT_FILLED, many.id).detail == 1 && connector_ready(web.connector, API) == 1);
  client = ask(&web, connect_request(80, 4713, 0), &port);
  expect(&web, IM_EVENT_USED, API);
  server = accept_handoff(&api, guest, &seen);
  CHECK(client >= 0 && server >= 0 && seen == 4713);
  close(client);
  close(server);
  many.id = ++last_id;
  many.local = 0x7f000501u;
  many.timeout = 60000;
  for (uint16_t i = 0; i < 2; i++) pairs[i] = (struct im_pair){.local_port = (uint16_t)(20003 + i), .remote_port = 1};
  CHECK(connector_fill(web.connector, &many, pairs, 2) == 0 && connector_cancel(web.connector, many.id));
  CHECK(!connector_cancel(web.connector, many.id) && expect(&web, IM_EVENT_FILLED, many.id).detail == 0);

  puts("given to a guest that waits; delivered to one that listens");
  int ends[2];
  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
  struct im_opening give = opening(IM_GIVE, API, "t1", ""), deliver = opening(IM_DELIVER, WEB, "t2", "");
  give.expect_size = deliver.expect_size = 2;
  memcpy(give.expect, "t2", 2);
  memcpy(deliver.expect, "t1", 2);
  give.reply_to = ends[1];
  give.source_port = deliver.source_port = 1234;
  deliver.port = 80;
  open_both(&web, give, &api, deliver);
  expect(&web, IM_EVENT_OPENED, last_id - 1);
  expect(&api, IM_EVENT_OPENED, last_id);
  CHECK(connector_arriving(api.connector) == 1);
  struct im_reply reply;
  CHECK(recv(ends[0], &reply, sizeof reply, 0) == sizeof reply && reply.real_port == 1234);
  close(ends[0]); /* the descriptor that came is not taken, so it is closed */
  server = accept_handoff(&api, guest, &seen);
  CHECK(server >= 0 && seen == 1234 && is_over(server) && connector_arriving(api.connector) == 0);
  close(server);

  puts("a guest that has gone when it is answered: the other side sees a reset, and nothing is said to be on its way");
  open_both(&web, opening(IM_POOL_OUT, API, "a", "b"), &api, opening(IM_POOL_IN, WEB, "b", "a"));
  expect(&web, IM_EVENT_OPENED, last_id - 1);
  expect(&api, IM_EVENT_OPENED, last_id);
  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0 && close(ends[0]) == 0);
  struct im_request gone = connect_request(80, 0, 0);
  pthread_mutex_lock(&web.connector->reactor.lock);
  CHECK(confirm_give(web.connector, &gone, ends[1]));
  pthread_mutex_unlock(&web.connector->reactor.lock);
  expect(&web, IM_EVENT_USED, API);
  server = accept_handoff(&api, guest, &seen);
  CHECK(server >= 0 && is_over(server));
  close(server);
  CHECK(ask(&web, connect_request(80, 0, 0), &port) == -ENOMSG);

  puts("a port that nobody listens on; a signal that stands for nothing");
  open_both(&web, opening(IM_POOL_OUT, API, "a", "b"), &api, opening(IM_POOL_IN, WEB, "b", "a"));
  expect(&web, IM_EVENT_OPENED, last_id - 1);
  expect(&api, IM_EVENT_OPENED, last_id);
  client = ask(&web, connect_request(81, 0, 0), &port);
  expect(&web, IM_EVENT_USED, API);
  CHECK(client >= 0 && expect(&api, IM_EVENT_REFUSED, WEB).detail == 81 && is_over(client));
  close(client);
  CHECK(ask(&api, (struct im_request){.op = IM_OP_ACCEPT, .address = WEB, .port = 9}, &port) == -ECONNABORTED);

  puts("a listener that is closed with the connection in its queue");
  open_both(&web, opening(IM_POOL_OUT, API, "a", "b"), &api, opening(IM_POOL_IN, WEB, "b", "a"));
  expect(&web, IM_EVENT_OPENED, last_id - 1);
  expect(&api, IM_EVENT_OPENED, last_id);
  struct sockaddr_in second;
  int other = listen_at(ALIAS_BASE | (API & 0xffff), 16, &second);
  struct im_listener both[2] = {listens, {.port = 82, .real = listens.real, .real_port = ntohs(second.sin_port)}};
  connector_listeners(api.connector, both, 2);
  client = ask(&web, connect_request(82, 0, 0), &port);
  expect(&web, IM_EVENT_USED, API);
  close(other);
  CHECK(is_over(client));
  close(client);

  puts("alone: it ends when its time is over; given up, nothing is told of it; unused, it expires");
  struct im_opening alone = opening(IM_POOL_OUT, API, "a", "b");
  alone.id = ++last_id;
  alone.remote = 0x7f000001u;
  alone.remote_port = 1;
  alone.local = 0x7f000501u;
  alone.local_port = 20001;
  alone.timeout = 100;
  CHECK(connector_open(web.connector, &alone) == 0 && expect(&web, IM_EVENT_FAILED, alone.id).detail == ETIMEDOUT);
  alone.id = ++last_id;
  alone.timeout = 60000;
  CHECK(connector_open(web.connector, &alone) == 0 && connector_cancel(web.connector, alone.id));
  CHECK(!connector_cancel(web.connector, alone.id));
  struct im_opening brief = opening(IM_POOL_OUT, API, "a", "b");
  brief.ttl = 50;
  open_both(&web, brief, &api, opening(IM_POOL_IN, WEB, "b", "a"));
  expect(&web, IM_EVENT_OPENED, last_id - 1);
  expect(&api, IM_EVENT_OPENED, last_id);
  CHECK(expect(&web, IM_EVENT_LOST, API).detail == 0);

  puts("dropped, and stopped with some open");
  for (int i = 0; i < 3; i++) {
    open_both(&web, opening(IM_POOL_OUT, API, "a", "b"), &api, opening(IM_POOL_IN, WEB, "b", "a"));
    expect(&web, IM_EVENT_OPENED, last_id - 1);
    expect(&api, IM_EVENT_OPENED, last_id);
  }
  connector_drop(web.connector, API);
  CHECK(ask(&web, connect_request(80, 0, IM_FLAG_READY), &port) == -EAGAIN);
  open_both(&web, opening(IM_POOL_OUT, API, "a", "b"), &api, opening(IM_POOL_IN, WEB, "b", "a"));
  expect(&web, IM_EVENT_OPENED, last_id - 1);
  end(&web);
  end(&api);
  no_more_descriptors(before); /* the forwarder's threads */
  shutdown(meeting, SHUT_RDWR);
  pthread_join(thread, NULL);
  puts("ok");
  return 0;
}
