/*
 * What goes wrong between two connectors, without Node.js, under sanitizers: silence, strangers, listeners that are
 * full.
 */
#define _GNU_SOURCE
#include "members.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct member web, api;

/* ---- the other side of a pool, as a plain socket whose kernel can be made deaf ---- */

static int meeting;
static struct sockaddr_in meeting_at;

/* The connection that is being made: what keeps it away is no reason to wait for ever. */
static int arrived(void) {
  CHECK(poll(&(struct pollfd){.fd = meeting, .events = POLLIN}, 1, 15000) == 1);
  return accept(meeting, NULL, NULL);
}

/* One more is ready in the pool of WEB: the other side's socket. */
static int made_ready(void) {
  struct im_opening out = opening_to(&meeting_at, IM_POOL_OUT, API, "secret of web", "secret of api");
  out.id = ++last_id;
  CHECK(connector_open(web.connector, &out) == 0);
  int fd = arrived();
  CHECK(fd >= 0 && send(fd, out.expect, out.expect_size, 0) == out.expect_size);
  expect(&web, IM_EVENT_OPENED, last_id);
  return fd;
}

/*
 * As behind a NAT that has forgotten the connection: what comes is dropped before TCP sees it, and acknowledged by
 * nobody.
 */
static void deafen(int fd, bool deaf) {
  struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
  struct sock_fprog program = {.len = 1, .filter = &drop};
  int none = 0;
  CHECK((deaf ? setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program)
              : setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof none)) == 0);
}

static int connected(bool last) {
  uint16_t port;
  int fd = ask(&web, connect_request(80, 0, IM_FLAG_READY), &port);
  CHECK(fd >= 0);
  if (last) expect(&web, IM_EVENT_USED, API);
  return fd;
}

static void silence(void) {
  char bytes[32];
  int before = descriptors();

  puts("a header that is acknowledged: the guest's descriptor is the only one; nothing is told");
  int there = made_ready(), one = descriptors();
  int client = connected(true);
  no_more_descriptors(one); /* the connector's became the guest's */
  CHECK(recv(there, bytes, sizeof bytes, 0) == 13 + IM_PORTS_SIZE && memcmp(bytes, "secret of web", 13) == 0);
  close(client);
  CHECK(recv(there, bytes, sizeof bytes, 0) == 0 && is_quiet(&web));
  close(there);

  puts("one that is lost on the way and sent again: the connection lives, and so do the others");
  there = made_ready();
  int other = made_ready();
  one = descriptors();
  deafen(other, true); /* the newest is taken first */
  client = connected(false);
  deafen(other, false);
  no_more_descriptors(one);
  CHECK(recv(other, bytes, sizeof bytes, 0) == 13 + IM_PORTS_SIZE && send(other, "hello", 5, 0) == 5);
  CHECK(recv(client, bytes, sizeof bytes, 0) == 5);
  CHECK(is_quiet(&web) && connector_ready(web.connector, API) == 1);
  close(client);
  close(other);

  puts("one that nobody acknowledges: the guest sees a reset, the rest of that pool is dropped");
  int third = made_ready();
  deafen(third, true);
  client = connected(false);
  CHECK(send(client, "request", 7, MSG_NOSIGNAL) == 7);
  struct pollfd ended = {.fd = client, .events = POLLIN};
  CHECK(poll(&ended, 1, 10000) == 1 && recv(client, bytes, sizeof bytes, 0) < 0 && errno == ECONNRESET);
  expect(&web, IM_EVENT_SILENT, API);
  CHECK(connector_ready(web.connector, API) == 0 && recv(there, bytes, sizeof bytes, 0) < 0 && errno == ECONNRESET);
  CHECK(is_quiet(&web)); /* once, not for each of them */
  close(client);
  close(there);
  close(third);

  puts("the same with a guest that has closed it: nothing is left");
  there = made_ready();
  deafen(there, true);
  client = connected(true);
  close(client);
  expect(&web, IM_EVENT_SILENT, API); /* the header is still unheard: the next guest would fare no better */
  close(there);

  puts("the other side ends it before it has acknowledged: that is an end, not silence");
  there = made_ready();
  int kept = made_ready();
  deafen(kept, true);
  client = connected(false);
  struct linger now = {.l_onoff = 1, .l_linger = 0};
  CHECK(setsockopt(kept, SOL_SOCKET, SO_LINGER, &now, sizeof now) == 0);
  close(kept);
  CHECK(poll(&(struct pollfd){.fd = client, .events = POLLIN}, 1, 10000) == 1);
  CHECK(recv(client, bytes, sizeof bytes, 0) < 0 && errno == ECONNRESET && connector_ready(web.connector, API) == 1);
  close(client);
  connector_drop(web.connector, API);
  CHECK(is_over(there));
  close(there);
  no_more_descriptors(before);
  CHECK(is_quiet(&web));
}

/* ---- one side listens at the agreed port ---- */

static int from_to(uint32_t ip, uint16_t port, const struct sockaddr_in *to) {
  int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in from = connection_address(ip, port);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  CHECK(bind(fd, (struct sockaddr *)&from, sizeof from) == 0);
  CHECK(connect(fd, (const struct sockaddr *)to, sizeof *to) == 0);
  return fd;
}

/* Not a byte came; it was reset. */
static void was_shut_out(int fd) {
  char byte;
  CHECK(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 10000) == 1);
  CHECK(recv(fd, &byte, 1, 0) < 0 && errno == ECONNRESET);
  close(fd);
}

/* 0 or an errno. What comes before is the secret of this side, good for this one connection. */
static int ending(int fd) {
  char bytes[8];
  ssize_t got;
  while ((got = recv(fd, bytes, sizeof bytes, 0)) > 0) continue;
  int error = got < 0 ? errno : 0;
  close(fd);
  return error;
}

#define WEB_AT 0x7f000601u /* 127.0.6.1 */
#define API_AT 0x7f000602u

static struct im_opening at_port(struct im_opening what, uint32_t local, uint16_t port, bool listens) {
  what.local = local;
  what.local_port = port;
  what.listens = listens;
  what.id = ++last_id;
  return what;
}

static void strangers(void) {
  const struct sockaddr_in meeting = connection_address(API_AT, 21001), caller = connection_address(WEB_AT, 22001);
  int before = descriptors();

  puts("who is not agreed on does not get in, by address or by port; who is gets in afterwards");
  struct im_opening in = at_port(opening_to(&caller, IM_POOL_IN, WEB, "secret of api", "secret of web"), API_AT, 21001,
                                 true);
  CHECK(connector_open(api.connector, &in) == 0);
  was_shut_out(from_to(WEB_AT, 22002, &meeting));
  was_shut_out(from_to(HERE, 22001, &meeting));
  CHECK(is_quiet(&api));
  struct im_opening out = at_port(opening_to(&meeting, IM_POOL_OUT, API, "secret of web", "secret of api"), WEB_AT,
                                  22001, false);
  CHECK(connector_open(web.connector, &out) == 0);
  expect(&api, IM_EVENT_OPENED, in.id);
  expect(&web, IM_EVENT_OPENED, out.id);
  /* It listens no longer. */
  int late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(connect(late, (const struct sockaddr *)&meeting, sizeof meeting) < 0 && errno == ECONNREFUSED);
  close(late);
  connector_drop(web.connector, API);
  connector_drop(api.connector, WEB);

  puts("the agreed port with another secret: nobody gets it");
  in = at_port(opening_to(&caller, IM_DELIVER, WEB, "yes", "ticket"), API_AT, 21002, true);
  const struct sockaddr_in second = connection_address(API_AT, 21002);
  CHECK(connector_open(api.connector, &in) == 0);
  int forger = from_to(WEB_AT, 22001, &second);
  CHECK(send(forger, "tucket", 6, MSG_NOSIGNAL) == 6);
  CHECK(expect(&api, IM_EVENT_FAILED, in.id).detail == EBADMSG && ending(forger) == ECONNRESET &&
        connector_arriving(api.connector) == 0);

  puts("who says nothing, and nobody at all: it ends in time");
  in = at_port(in, API_AT, 21003, true);
  in.timeout = 200;
  CHECK(connector_open(api.connector, &in) == 0);
  const struct sockaddr_in third = connection_address(API_AT, 21003);
  int mute = from_to(WEB_AT, 22001, &third);
  CHECK(expect(&api, IM_EVENT_FAILED, in.id).detail == ETIMEDOUT && ending(mute) == ECONNRESET);
  in = at_port(in, API_AT, 21004, true);
  CHECK(connector_open(api.connector, &in) == 0 && expect(&api, IM_EVENT_FAILED, in.id).detail == ETIMEDOUT);

  puts("a port that somebody has");
  struct sockaddr_in taken;
  int owner = listen_at(API_AT, 1, &taken);
  in = at_port(in, API_AT, ntohs(taken.sin_port), true);
  CHECK(connector_open(api.connector, &in) == EADDRINUSE && is_quiet(&api)); /* known at once */
  close(owner);
  no_more_descriptors(before);
}

/* ---- guests' listeners ---- */

/* A connection for the guest that listens on `port`, which begins with the byte: the other side's socket. */
static int delivered(uint16_t port, uint16_t source, char byte) {
  struct im_opening deliver = opening_to(&meeting_at, IM_DELIVER, WEB, "yes", "ticket");
  deliver.id = ++last_id;
  deliver.port = port;
  deliver.source_port = source;
  CHECK(connector_open(api.connector, &deliver) == 0);
  int fd = arrived();
  CHECK(fd >= 0 && send(fd, "ticket", 6, 0) == 6 && send(fd, &byte, 1, 0) == 1);
  expect(&api, IM_EVENT_OPENED, last_id);
  return fd;
}

static void accepts(int listener, uint16_t source, char byte) {
  uint16_t port;
  char got;
  CHECK(poll(&(struct pollfd){.fd = listener, .events = POLLIN}, 1, 15000) == 1);
  int fd = accept_handoff(&api, listener, &port);
  CHECK(fd >= 0 && recv(fd, &got, 1, 0) == 1);
  if (source) CHECK(port == source && got == byte);
  close(fd);
}

static struct im_listener listed(uint16_t port, const struct sockaddr_in *at) {
  return (struct im_listener){.port = port, .real = ntohl(at->sin_addr.s_addr), .real_port = ntohs(at->sin_port)};
}

#define CROWD 6

static void listeners(void) {
  struct sockaddr_in at;
  int before = descriptors(), seconds = 30, others[CROWD];

  puts("a listener that waits for data is told without any of the guest's");
  int patient = listen_at(ALIAS_BASE | (API & 0xffff), 16, &at);
  CHECK(setsockopt(patient, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof seconds) == 0);
  struct im_listener list = listed(80, &at);
  connector_listeners(api.connector, &list, 1);
  others[0] = delivered(80, 4711, 'a');
  accepts(patient, 4711, 'a');
  close(others[0]);
  close(patient);

  puts("a listener with room for fewer gets all of them, each with its own bytes");
  int full = listen_at(ALIAS_BASE | (API & 0xffff), CROWD - 3, &at);
  list = listed(80, &at);
  connector_listeners(api.connector, &list, 1);
  for (int i = 0; i < CROWD; i++) others[i] = delivered(80, (uint16_t)(5000 + i), (char)('a' + i));
  CHECK(connector_arriving(api.connector) == CROWD);
  for (int i = 0; i < CROWD - 2; i++) accepts(full, (uint16_t)(5000 + i), (char)('a' + i)); /* the queue's order */
  for (int i = CROWD - 2; i < CROWD; i++) accepts(full, 0, 0); /* these were turned away once */
  CHECK(connector_arriving(api.connector) == 0);
  for (int i = 0; i < CROWD; i++) CHECK(ending(others[i]) == 0);

  puts("a caller that leaves while its connection is in the queue: the guest accepts one that has ended");
  others[0] = delivered(80, 4711, 'a');
  close(others[0]);
  accepts(full, 4711, 'a');

  puts("a listener that is closed while it is full: all of them are reset");
  for (int i = 0; i < CROWD; i++) others[i] = delivered(80, 4711, 'a');
  close(full);
  for (int i = 0; i < CROWD; i++) CHECK(ending(others[i]) == ECONNRESET);
  CHECK(connector_arriving(api.connector) == 0);
  no_more_descriptors(before);
  CHECK(is_quiet(&api));
}

int main(void) {
  int before = descriptors();
  char bytes[8];
  meeting = listen_at(HERE, 16, &meeting_at);
  start(&web);
  start(&api);
  /* So that the threads are there, whose descriptors are not counted as left. */
  int warm = made_ready();
  connector_drop(web.connector, API);
  CHECK(is_over(warm));
  close(warm);
  struct im_opening brief = opening_to(&meeting_at, IM_POOL_IN, WEB, "a", "b");
  brief.id = ++last_id;
  CHECK(connector_open(api.connector, &brief) == 0);
  warm = arrived();
  expect(&api, IM_EVENT_OPENED, last_id);
  connector_drop(api.connector, WEB);
  CHECK(recv(warm, bytes, sizeof bytes, 0) == 1 && is_over(warm));
  close(warm);
  silence();
  strangers();
  listeners();
  end(&web);
  end(&api);
  close(meeting);
  no_more_descriptors(before);
  puts("ok");
  return 0;
}
