/*
 * A guest with two listeners. The kernel may send signals to both of them from one port, as it tells connections apart
 * by where they go, too: here from the only one that it has. Each listener gets what was meant for it.
 */
#define _GNU_SOURCE
#include "members.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define OURS 0x7f000503u /* 127.0.5.3 */
#define PORT 20100
#define ONLY "40000 40000"

static struct member web, api;

/* A network with nothing but loopback. False: not permitted here. */
static bool own_network(void) {
  struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
  if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) return false;
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  CHECK(ioctl(fd, SIOCSIFFLAGS, &loopback) == 0 && close(fd) == 0);
  return true;
}

static void one_port_only(void) {
  int fd = open("/proc/sys/net/ipv4/ip_local_port_range", O_WRONLY | O_CLOEXEC);
  CHECK(write(fd, ONLY, strlen(ONLY)) == (ssize_t)strlen(ONLY) && close(fd) == 0);
}

static uint32_t begin_at(struct member *member, enum im_purpose purpose, uint16_t from, uint16_t port, int reply_to) {
  struct sockaddr_in nowhere = {0};
  bool waits = purpose == IM_DELIVER;
  struct im_opening what = opening_to(&nowhere, purpose, waits ? WEB : API, "", "");
  what.id = ++last_id;
  what.listens = waits;
  what.port = port;
  what.source_port = from;
  what.local = waits ? HERE : OURS;
  what.remote = waits ? OURS : HERE;
  what.local_port = waits ? PORT : from;
  what.remote_port = waits ? from : PORT;
  what.reply_to = reply_to;
  CHECK(connector_open(member->connector, &what) == 0);
  return what.id;
}

/* A guest of WEB connects to that port of API; the client's end. */
static int connect_to(uint16_t from, uint16_t port) {
  int ends[2];
  uint16_t bound;
  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
  uint32_t waits = begin_at(&api, IM_DELIVER, from, port, -1), goes = begin_at(&web, IM_GIVE, from, port, ends[1]);
  expect(&web, IM_EVENT_OPENED, goes);
  expect(&api, IM_EVENT_OPENED, waits);
  int client = finish(ends[0], &bound);
  CHECK(client >= 0 && bound == from);
  return client;
}

static void meets(int listener, int client, uint16_t from) {
  uint16_t seen;
  char byte;
  int server = accept_handoff(&api, listener, &seen);
  CHECK(server >= 0 && seen == from);
  CHECK(send(client, "x", 1, 0) == 1 && recv(server, &byte, 1, 0) == 1 && byte == 'x');
  close(server);
  close(client);
}

int main(void) {
  struct sockaddr_in first, second;
  if (!own_network()) {
    puts("not run: a network namespace is not permitted here");
    puts("ok");
    return 0;
  }
  int one = listen_at(ALIAS_BASE | (API & 0xffff), 16, &first),
      other = listen_at(ALIAS_BASE | (API & 0xffff), 16, &second);
  one_port_only();
  int before = descriptors();
  start(&web);
  start(&api);
  struct im_listener listens[] = {
      {.port = 80, .real = ntohl(first.sin_addr.s_addr), .real_port = ntohs(first.sin_port)},
      {.port = 81, .real = ntohl(second.sin_addr.s_addr), .real_port = ntohs(second.sin_port)},
  };
  connector_listeners(api.connector, listens, 2);

  puts("signals from one port to two listeners, accepted in the other order, too");
  int to_one = connect_to(30001, 80), to_other = connect_to(30002, 81);
  meets(one, to_one, 30001);
  meets(other, to_other, 30002);
  to_one = connect_to(30003, 80);
  to_other = connect_to(30004, 81);
  meets(other, to_other, 30004);
  meets(one, to_one, 30003);

  end(&web);
  end(&api);
  close(one);
  close(other);
  no_more_descriptors(before);
  puts("ok");
  return 0;
}
