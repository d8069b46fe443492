/*
 * Every secret that a connector compares, however it is cut into segments: each cut with each byte wrong, and byte by
 * byte. The other side is a plain socket, and waits for the connector to take each segment before it sends the next
 * one.
 */
#define _GNU_SOURCE
#include "connector/siphash.h"
#include "members.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define SECRET 16
#define FRAME 24
#define TAGGED 16
#define NO_CUT 0 /* byte by byte */
#define RIGHT (-1)

static struct member web;
static int meeting;
static struct sockaddr_in meeting_at;
static const char ours[] = "0123456789abcdef", theirs[] = "fedcba9876543210";

/* The connector has read all that was sent at this end, or has closed its own. */
static bool is_taken(int fd) {
  int unsent = 0, unread = 0;
  CHECK(ioctl(fd, SIOCOUTQ, &unsent) == 0);
  pthread_mutex_lock(&web.connector->reactor.lock);
  const struct im_connection *connection = web.connector->all;
  bool open = connection && connection->fd >= 0 && ioctl(connection->fd, SIOCINQ, &unread) == 0;
  pthread_mutex_unlock(&web.connector->reactor.lock);
  return !open || (!unsent && !unread);
}

static void deliver(int fd, const uint8_t *right, int size, int cut, int wrong) {
  uint8_t bytes[FRAME];
  memcpy(bytes, right, (size_t)size);
  if (wrong != RIGHT) bytes[wrong] ^= 0x80;
  for (int at = 0, next; at < size; at = next) {
    next = cut == NO_CUT ? at + 1 : at < cut ? cut : size;
    if (send(fd, bytes + at, (size_t)(next - at), MSG_NOSIGNAL) < 0) break; /* it has decided already */
    for (int i = 0; i < 5000 && !is_taken(fd); i++) poll(NULL, 0, i < 100 ? 0 : 2);
  }
}

/* The other side of a connection that the connector makes. */
static int meet(const struct im_opening *what) {
  int on = 1;
  CHECK(connector_open(web.connector, what) == 0);
  int fd = accept(meeting, NULL, NULL);
  CHECK(fd >= 0 && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
  return fd;
}

static struct im_opening opening(enum im_purpose purpose) {
  struct im_opening what = opening_to(&meeting_at, purpose, API, ours, theirs);
  what.id = ++last_id;
  what.own_first = what.own_count = what.their_first = what.their_count = 1;
  return what;
}

/* What is shown by the side that is connected to. */
static void shown(enum im_purpose purpose, int cut, int wrong) {
  struct im_opening what = opening(purpose);
  int ends[2] = {-1, -1};
  uint16_t port;
  if (purpose == IM_GIVE) CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
  what.reply_to = ends[1];
  int fd = meet(&what);
  deliver(fd, (const uint8_t *)theirs, SECRET, cut, wrong);
  struct told told = expect(&web, wrong == RIGHT ? IM_EVENT_OPENED : IM_EVENT_FAILED, what.id);
  if (wrong != RIGHT) CHECK(told.detail == EBADMSG);
  if (wrong != RIGHT && ends[0] >= 0) CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
  if (wrong == RIGHT && purpose == IM_GIVE) close(finish(ends[0], &port));
  if (wrong == RIGHT && purpose == IM_HAND) close(told.detail);
  if (wrong == RIGHT && purpose == IM_DELIVER) expect(&web, IM_EVENT_REFUSED, API); /* nobody listens */
  connector_drop(web.connector, API);
  close(fd);
}

/* In front of the ports, by the side that uses a pooled connection. */
static void header(enum im_purpose purpose, int cut, int wrong) {
  struct im_opening what = opening(purpose);
  uint8_t bytes[SECRET + IM_PORTS_SIZE] = {0};
  memcpy(bytes, theirs, SECRET);
  int fd = meet(&what);
  expect(&web, IM_EVENT_OPENED, what.id);
  deliver(fd, bytes, sizeof bytes, cut, wrong);
  if (wrong == RIGHT) expect(&web, IM_EVENT_REFUSED, API);
  uint8_t said[SECRET];
  CHECK(recv(fd, said, sizeof said, MSG_WAITALL) <= SECRET && is_over(fd) && is_quiet(&web));
  close(fd);
}

/* A frame of a signalling channel: that a call was not taken, of a call that nobody made. */
static void frame(enum im_purpose purpose, int cut, int wrong) {
  struct im_opening what = opening(purpose);
  uint8_t bytes[FRAME] = {2}, tagged[TAGGED + 8] = {0};
  memcpy(tagged, bytes, TAGGED);
  uint64_t tag = siphash((const uint8_t *)theirs, tagged, sizeof tagged);
  memcpy(bytes + TAGGED, &tag, sizeof tag);
  int fd = meet(&what);
  expect(&web, IM_EVENT_OPENED, what.id);
  deliver(fd, bytes, FRAME, cut, wrong);
  if (wrong == RIGHT) {
    CHECK(is_taken(fd) && is_quiet(&web));
    connector_drop(web.connector, API);
  }
  expect(&web, IM_EVENT_SIGNALLING_ENDED, API);
  CHECK(is_over(fd));
  close(fd);
}

static void every(void (*try)(enum im_purpose, int, int), enum im_purpose purpose, int size, int secret) {
  for (int cut = NO_CUT; cut < size; cut++)
    for (int wrong = RIGHT; wrong < secret; wrong++) try(purpose, cut, wrong);
}

int main(void) {
  int before = descriptors();
  meeting = listen_at(HERE, 16, &meeting_at);
  start(&web);
  puts("for the pool");
  every(shown, IM_POOL_OUT, SECRET, SECRET);
  puts("for a guest that connects");
  every(shown, IM_GIVE, SECRET, SECRET);
  puts("for a guest that listens");
  every(shown, IM_DELIVER, SECRET, SECRET);
  puts("for JavaScript");
  every(shown, IM_HAND, SECRET, SECRET);
  puts("when a pooled connection is used");
  every(header, IM_POOL_IN, SECRET + IM_PORTS_SIZE, SECRET);
  puts("over a signalling channel");
  every(frame, IM_SIGNALLING_OUT, FRAME, FRAME);
  end(&web);
  close(meeting);
  no_more_descriptors(before);
  puts("ok");
  return 0;
}
