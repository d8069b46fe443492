/*
 * Wires, under sanitizers: what two connectors say to each other passes through this program's hands, and what they
 * open meets at a plain forwarder that joins every two connections.
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

#define OURS 0x7f000501u /* 127.0.5.1 */
#define THEIRS 0x7f000502u
#define FRAME 24
#define LONG 60000 /* milliseconds */

static struct member web, api;
static struct sockaddr_in meeting_at, nobody_at;
static int meeting, guest;
/* The two ends of the signalling channel, as they arrive here. */
static int from_web, from_api;
/* The port that api is called at; nobody meets web there unless it is the meeting's. */
static uint16_t called_at;

static struct im_opening channel(enum im_purpose purpose, uint32_t peer, const struct sockaddr_in *to, const char *says,
                                 const char *hears) {
  struct im_opening what = opening_to(to, purpose, peer, says, hears);
  what.id = ++last_id;
  what.own_first = purpose == IM_SIGNALLING_OUT ? ntohs(meeting_at.sin_port) : called_at;
  what.their_first = called_at;
  what.own_count = what.their_count = 1;
  return what;
}

/* Calls go from OURS to the meeting and from THEIRS to the meeting: that is where each believes the other one to be. */
static int signalling_end(struct member *member, enum im_purpose purpose, uint32_t peer, const char *says,
                          const char *hears) {
  struct sockaddr_in at;
  int listener = listen_at(HERE, 1, &at);
  struct im_opening what = channel(purpose, peer, &at, says, hears);
  what.local = purpose == IM_SIGNALLING_OUT ? OURS : THEIRS;
  CHECK(connector_open(member->connector, &what) == 0);
  int end = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  CHECK(end >= 0);
  close(listener);
  expect(member, IM_EVENT_OPENED, what.id);
  return end;
}

static void connect_both(void) {
  from_web = signalling_end(&web, IM_SIGNALLING_OUT, API, "0123456789abcdef", "fedcba9876543210");
  from_api = signalling_end(&api, IM_SIGNALLING_IN, WEB, "fedcba9876543210", "0123456789abcdef");
}

static void unwire(void) {
  close(from_web);
  close(from_api);
  expect(&web, IM_EVENT_SIGNALLING_ENDED, API);
}

static void pass_on(int from, int to, uint8_t *frame) {
  CHECK(recv(from, frame, FRAME, MSG_WAITALL) == FRAME);
  CHECK(send(to, frame, FRAME, MSG_NOSIGNAL) == FRAME);
}

/* Joins the next two that come. Both ends: the forwarder's. */
static void join(int ends[2]) {
  for (int i = 0; i < 2; i++) CHECK((ends[i] = accept4(meeting, NULL, NULL, SOCK_CLOEXEC)) >= 0);
}

static void pump(int from, int to) {
  char bytes[64];
  ssize_t got = recv(from, bytes, sizeof bytes, 0);
  CHECK(got > 0 && send(to, bytes, (size_t)got, 0) == got);
}

static void close_pair(const int ends[2]) {
  const struct linger now = {1, 0};
  for (int i = 0; i < 2; i++) {
    setsockopt(ends[i], SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(ends[i]);
  }
}

static bool is_web(int end) {
  struct sockaddr_in from;
  socklen_t size = sizeof from;
  CHECK(getpeername(end, (struct sockaddr *)&from, &size) == 0);
  return ntohl(from.sin_addr.s_addr) == OURS;
}

static void hears_not_yet(int waits) {
  struct im_reply reply;
  CHECK(recv(waits, &reply, sizeof reply, 0) == sizeof reply && reply.status == EAGAIN);
}

/*
 * A guest of web's with that request is connected, says something, and is heard. `first`: of this signalling channel,
 * which is told.
 */
static void connects(struct im_request request, uint16_t expected, bool first) {
  uint8_t frame[FRAME];
  int ends[2];
  uint16_t port = 0, seen = 0;
  char bytes[4];
  int waits = begin(&web, request);
  CHECK(waits >= 0);
  if (request.flags & IM_FLAG_READY && !web.connector->close_by) hears_not_yet(waits);
  pass_on(from_web, from_api, frame);
  join(ends);
  int client = finish(waits, &port);
  CHECK(client >= 0 && port == expected);
  bool told = false;
  while (!is_quiet(&web)) {
    expect(&web, IM_EVENT_MISSED, API);
    told = true;
  }
  CHECK(told || !first);
  int server = accept_handoff(&api, guest, &seen);
  CHECK(server >= 0 && seen == expected);
  CHECK(send(client, "ping", 4, 0) == 4);
  pump(ends[!is_web(ends[0])], ends[is_web(ends[0])]);
  CHECK(recv(server, bytes, 4, 0) == 4 && memcmp(bytes, "ping", 4) == 0);
  CHECK(connector_arriving(web.connector) == 0 && connector_arriving(api.connector) == 0);
  close(client);
  close(server);
  close_pair(ends);
}

static void good_ways(void) {
  uint16_t own = called_at = ntohs(meeting_at.sin_port);
  puts("a guest is connected, by the port that was called from; with the one that it has bound; without blocking");
  connect_both();
  connects(connect_request(80, 0, 0), own, true);
  connects(connect_request(80, 4711, 0), 4711, false);
  connects(connect_request(80, 0, IM_FLAG_READY), own, false);
  unwire();
  puts("without a channel it is not taken");
  uint16_t port;
  CHECK(ask(&web, connect_request(80, 0, 0), &port) == -ENOMSG);
  CHECK(ask(&web, connect_request(80, 0, IM_FLAG_READY), &port) == -EAGAIN);
}

/* What one end of the forwarder says next passes on to the other. */
static void pooled(void) {
  uint8_t frame[FRAME], secret[IM_PAIR_SECRET + IM_PORTS_SIZE];
  int ends[2];
  uint16_t port = 0, seen = 0;
  char byte;
  puts("made ready over the channel: the other side proves itself with what nobody has sent, and so does this one when "
       "it is used");
  called_at = ntohs(meeting_at.sin_port);
  CHECK(connector_call(web.connector, ++last_id, API, 1, 0) == ENOTCONN);
  connect_both();
  CHECK(connector_call(web.connector, ++last_id, API, 0, 0) == EINVAL &&
        connector_call(web.connector, last_id, API, 65, 0) == EINVAL);
  CHECK(connector_call(web.connector, ++last_id, API, 1, 0) == 0);
  pass_on(from_web, from_api, frame);
  join(ends);
  int of_web = ends[!is_web(ends[0])], of_api = ends[is_web(ends[0])];
  CHECK(recv(of_api, secret, IM_PAIR_SECRET, MSG_WAITALL) == IM_PAIR_SECRET);
  CHECK(send(of_web, secret, IM_PAIR_SECRET, 0) == IM_PAIR_SECRET);
  CHECK(expect(&web, IM_EVENT_FILLED, last_id).detail == 1 && connector_ready(web.connector, API) == 1);
  int client = ask(&web, connect_request(80, 4712, 0), &port);
  CHECK(client >= 0 && port == 4712);
  expect(&web, IM_EVENT_USED, API);
  CHECK(recv(of_web, secret, sizeof secret, MSG_WAITALL) == sizeof secret);
  CHECK(send(of_api, secret, sizeof secret, 0) == sizeof secret);
  int server = accept_handoff(&api, guest, &seen);
  CHECK(server >= 0 && seen == 4712);
  CHECK(send(client, "x", 1, 0) == 1);
  pump(of_web, of_api);
  CHECK(recv(server, &byte, 1, 0) == 1 && byte == 'x');
  close(client);
  close(server);
  close_pair(ends);

  puts("many at once: told of once; those that nobody meets have failed");
  called_at = ntohs(nobody_at.sin_port);
  unwire();
  connect_both();
  CHECK(connector_call(web.connector, ++last_id, API, 64, 0) == 0);
  for (int i = 0; i < 64; i++) pass_on(from_web, from_api, frame);
  CHECK(expect(&web, IM_EVENT_FILLED, last_id).detail == 0 && is_quiet(&api));
  CHECK(close(accept4(meeting, NULL, NULL, SOCK_CLOEXEC)) == 0); /* of api's 64 that came from one port, the first */
  unwire();
}

static void forged(void) {
  uint8_t frame[FRAME], other[FRAME] = {1};
  int ends[2];
  puts("a frame that is said again, changed, or nobody's: the signalling channel ends, nothing is opened");
  called_at = ntohs(meeting_at.sin_port);
  connect_both();
  int waits = begin(&web, connect_request(80, 0, 0));
  pass_on(from_web, from_api, frame);
  join(ends);
  uint16_t port, seen;
  int client = finish(waits, &port), server = accept_handoff(&api, guest, &seen);
  CHECK(client >= 0 && server >= 0);
  expect(&web, IM_EVENT_MISSED, API);
  CHECK(send(from_api, frame, FRAME, 0) == FRAME);
  CHECK(is_over(from_api));
  close(client);
  close(server);
  close_pair(ends);
  unwire();

  called_at = ntohs(nobody_at.sin_port);
  connect_both();
  waits = begin(&web, connect_request(80, 0, IM_FLAG_READY));
  CHECK(recv(from_web, frame, FRAME, MSG_WAITALL) == FRAME);
  frame[12] ^= 1; /* its port */
  CHECK(send(from_api, frame, FRAME, 0) == FRAME);
  CHECK(is_over(from_api));
  /* What was called is given back at once when the signalling channel ends. */
  close(from_web);
  close(from_api);
  expect(&web, IM_EVENT_SIGNALLING_ENDED, API);
  expect(&web, (enum im_event)LATE, 80);
  hears_not_yet(waits);
  CHECK(is_over(waits));
  close(waits);

  connect_both();
  CHECK(send(from_web, other, FRAME, 0) == FRAME && is_over(from_web));
  CHECK(send(from_api, other, 3, 0) == 3 && shutdown(from_api, SHUT_WR) == 0 && is_over(from_api));
  unwire();
  CHECK(is_quiet(&web) && is_quiet(&api));
}

static void busy(void) {
  uint8_t frame[FRAME];
  struct sockaddr_in taken = connection_address(THEIRS, called_at);
  int holder = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  puts("the other side's port is taken: said, and given back at once");
  connect_both();
  CHECK(bind(holder, (struct sockaddr *)&taken, sizeof taken) == 0 && listen(holder, 1) == 0);
  int waits = begin(&web, connect_request(81, 0, 0));
  CHECK(waits >= 0);
  pass_on(from_web, from_api, frame);
  pass_on(from_api, from_web, frame);
  expect(&web, (enum im_event)LATE, 81);
  close(waits);
  close(holder);

  puts("the other side has enough of this member's: the same");
  uint32_t share = api.connector->share;
  api.connector->share = 0;
  waits = begin(&web, connect_request(81, 0, 0));
  CHECK(waits >= 0);
  pass_on(from_web, from_api, frame);
  pass_on(from_api, from_web, frame);
  expect(&web, (enum im_event)LATE, 81);
  close(waits);
  api.connector->share = share;

  puts("ours is: not taken at all, nothing is said");
  taken = connection_address(OURS, ntohs(meeting_at.sin_port));
  holder = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(bind(holder, (struct sockaddr *)&taken, sizeof taken) == 0 && listen(holder, 1) == 0);
  uint16_t port;
  CHECK(ask(&web, connect_request(81, 0, 0), &port) == -ENOMSG);
  CHECK(recv(from_web, frame, FRAME, MSG_DONTWAIT) < 0 && errno == EAGAIN);
  close(holder);
  unwire();
}

static void nobody_comes(void) {
  puts("who is called does not come: a guest that would not wait hears of it, it is given back in time, and the "
       "channel not believed");
  connect_both();
  web.connector->soon = 1;
  int waits = begin(&web, connect_request(82, 0, IM_FLAG_READY));
  CHECK(waits >= 0 && connector_arriving(web.connector) == 1);
  hears_not_yet(waits);
  struct pollfd late = {.fd = web.events[0], .events = POLLIN};
  CHECK(poll(&late, 1, 10000) == 1);
  expect(&web, (enum im_event)LATE, 82);
  close(waits);
  expect(&web, IM_EVENT_SIGNALLING_ENDED, API);
  uint8_t frame[FRAME];
  CHECK(recv(from_web, frame, FRAME, MSG_WAITALL) == FRAME && is_over(from_web));
  close(from_web);
  close(from_api);
}

static void ends(void) {
  puts("dropped, withdrawn, and stopped with calls under way");
  connect_both();
  int waits = begin(&web, connect_request(83, 0, 0));
  connector_withdraw(web.connector, &web);
  CHECK(is_over(waits));
  close(waits);
  waits = begin(&web, connect_request(84, 0, 0));
  connector_drop(web.connector, API);
  expect(&web, IM_EVENT_SIGNALLING_ENDED, API);
  expect(&web, (enum im_event)LATE, 84);
  close(waits);
  close(from_web);
  close(from_api);
  connect_both();
  waits = begin(&web, connect_request(85, 0, 0));
  CHECK(waits >= 0);
  end(&web);
  end(&api);
  CHECK(is_over(waits));
  close(waits);
  close(from_web);
  close(from_api);
}

/*
 * `close_by`: who calls sends its SYN after the call (0), or before it; then a guest that would not wait is kept
 * waiting.
 */
static void everything(uint32_t close_by) {
  struct sockaddr_in at;
  guest = listen_at(ALIAS_BASE | (API & 0xffff), 16, &at);
  int before = descriptors();
  meeting = listen_at(HERE, 16, &meeting_at);
  start(&web);
  start(&api);
  web.connector->close_by = close_by;
  web.connector->soon = LONG;
  struct im_listener listens = {.port = 80, .real = ntohl(at.sin_addr.s_addr), .real_port = ntohs(at.sin_port)};
  connector_listeners(api.connector, &listens, 1);
  good_ways();
  pooled();
  forged();
  busy();
  nobody_comes();
  ends();
  close(meeting);
  no_more_descriptors(before);
  close(guest);
}

int main(void) {
  int nobody = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  socklen_t size = sizeof nobody_at;
  nobody_at = connection_address(HERE, 0);
  CHECK(bind(nobody, (struct sockaddr *)&nobody_at, size) == 0 &&
        getsockname(nobody, (struct sockaddr *)&nobody_at, &size) == 0);
  puts("where the other side is far");
  everything(0);
  puts("where it is close");
  everything(UINT32_MAX);
  puts("ok");
  return 0;
}
