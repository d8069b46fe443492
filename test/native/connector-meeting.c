/*
 * Two members behind one address: one waits at a port that the other one connects to. Several may wait at one port, and
 * one that is not waited for yet tries again.
 */
#define _GNU_SOURCE
#include "members.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define OURS 0x7f000503u /* 127.0.5.3 */
#define PORT 20100

#define TAKEN 20101

static struct member web, api;
static int guest;
static bool quiet; /* the side that waits proves itself elsewhere */

static struct im_opening at(enum im_purpose purpose, uint32_t peer, uint16_t from) {
  struct sockaddr_in nowhere = {0};
  struct im_opening what = opening_to(&nowhere, purpose, peer, "", "");
  bool waits = purpose == IM_DELIVER;
  what.id = ++last_id;
  what.listens = waits;
  what.port = 80;
  what.source_port = from;
  what.local = waits ? HERE : OURS;
  what.remote = waits ? OURS : HERE;
  what.local_port = waits ? PORT : from;
  what.remote_port = waits ? from : PORT;
  if (waits) {
    what.send_size = quiet ? 0 : 5;
    memcpy(what.send, "proof", 5);
  } else {
    what.expect_size = 5;
    memcpy(what.expect, "proof", 5);
  }
  return what;
}

static uint32_t wait_for(uint16_t from) {
  struct im_opening what = at(IM_DELIVER, WEB, from);
  CHECK(connector_open(api.connector, &what) == 0);
  return what.id;
}

static uint32_t go(uint16_t from, int *end) {
  struct im_opening what = at(IM_GIVE, API, from);
  int ends[2];
  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
  *end = ends[0];
  what.reply_to = ends[1];
  CHECK(connector_open(web.connector, &what) == 0);
  return what.id;
}

/* The one that went from that port has arrived, and each side's guest has its own end of it. */
static void arrives(uint32_t waits, uint32_t goes, int end, uint16_t from) {
  uint16_t port, seen;
  char byte;
  expect(&web, IM_EVENT_OPENED, goes);
  expect(&api, IM_EVENT_OPENED, waits);
  int client = finish(end, &port), server = accept_handoff(&api, guest, &seen);
  CHECK(client >= 0 && server >= 0 && port == from && seen == from);
  CHECK(send(client, "x", 1, 0) == 1 && recv(server, &byte, 1, 0) == 1 && byte == 'x');
  close(client);
  close(server);
}

int main(void) {
  struct sockaddr_in address;
  int end_1, end_2, end_3;
  guest = listen_at(ALIAS_BASE | (API & 0xffff), 16, &address);
  int before = descriptors();
  start(&web);
  start(&api);
  struct im_listener listens = {
      .port = 80, .real = ntohl(address.sin_addr.s_addr), .real_port = ntohs(address.sin_port)};
  connector_listeners(api.connector, &listens, 1);

  puts("three wait at one port, and each gets its own");
  uint32_t first = wait_for(30001), second = wait_for(30002), third = wait_for(30003);
  uint32_t goes = go(30002, &end_2);
  arrives(second, goes, end_2, 30002);
  goes = go(30001, &end_1); /* whose listener it was */
  arrives(first, goes, end_1, 30001);
  goes = go(30003, &end_3);
  arrives(third, goes, end_3, 30003);

  puts("whoever listens for others gives up: they wait on");
  first = wait_for(30004);
  second = wait_for(30005);
  CHECK(connector_cancel(api.connector, first));
  goes = go(30005, &end_1);
  arrives(second, goes, end_1, 30005);

  puts("too early, where another one is waited for: tried again, and the guest sees nothing of it");
  first = wait_for(30006);
  goes = go(30007, &end_1);
  for (int i = 0; i < 20; i++) CHECK(usleep(1000) == 0); /* many tries */
  CHECK(is_quiet(&web));
  second = wait_for(30007);
  arrives(second, goes, end_1, 30007);
  CHECK(connector_cancel(api.connector, first));

  puts("what waits says nothing, and is told of elsewhere: before it is met, and afterwards");
  quiet = true;
  first = wait_for(30008);
  goes = go(30008, &end_1);
  for (int i = 0; i < 20; i++) CHECK(usleep(1000) == 0); /* met by now, and not proved */
  CHECK(is_quiet(&web));
  connector_proved(web.connector, goes);
  arrives(first, goes, end_1, 30008);
  goes = go(30009, &end_1);
  connector_proved(web.connector, goes);
  second = wait_for(30009);
  arrives(second, goes, end_1, 30009);

  puts("it cannot wait where somebody else does: known at once, and told once");
  struct im_opening taken = at(IM_DELIVER, WEB, 30010);
  taken.local_port = TAKEN;
  struct sockaddr_in there = {
      .sin_family = AF_INET, .sin_port = htons(TAKEN), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int stranger = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(bind(stranger, (struct sockaddr *)&there, sizeof there) == 0 && listen(stranger, 1) == 0);
  CHECK(connector_open(api.connector, &taken) == EADDRINUSE);
  CHECK(is_quiet(&api));
  close(stranger);

  end(&web);
  end(&api);
  no_more_descriptors(before);
  puts("ok");
  return 0;
}
