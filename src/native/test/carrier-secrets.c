/*
 * Secrets that connections begin with, however TCP cuts them: each purpose that waits for one, every cut, a wrong byte at every
 * place, and each byte by itself. Nothing but the whole secret opens a connection.
 */
#define _GNU_SOURCE
#include "members.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SIZE 16

static struct member web, api;
static int meeting;
static struct sockaddr_in meeting_at;
static const char secret[SIZE + 1] = "0123456789abcdef";

/* Nothing of what was sent before is left to be read, so that what comes next is a segment of its own. */
static void until_read(struct member *member, size_t sent) {
  for (int tries = 0; tries < 5000; tries++) {
    size_t got = sent;
    pthread_mutex_lock(&member->carrier->lock);
    for (struct im_connection *at = member->carrier->all; at; at = at->next)
      if (at->stage == IM_HELLO || at->stage == IM_HEADER) got = at->got;
    pthread_mutex_unlock(&member->carrier->lock);
    if (got == sent) return;
    poll(NULL, 0, 1);
  }
  CHECK(!"read in time");
}

static void say(int fd, struct member *hears, const char *bytes, size_t size, unsigned cuts) {
  size_t from = 0;
  for (size_t at = 1; at <= size; at++) {
    if (at < size && !(cuts & (1u << at))) continue;
    ssize_t sent = send(fd, bytes + from, at - from, MSG_NOSIGNAL);
    if (sent < 0) return; /* it has been turned away */
    from = at;
    if (at < size) until_read(hears, at);
  }
}

/* ---- the side that connects waits for it ---- */

static void opened(enum im_purpose purpose, const char *said, unsigned cuts, bool right) {
  struct im_opening what = opening_to(&meeting_at, purpose, API, "", secret);
  int ends[2] = {-1, -1}, on = 1;
  uint16_t port;
  what.id = ++last_id;
  if (purpose == IM_GIVE) {
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
    what.reply_to = ends[1];
  }
  CHECK(carrier_open(web.carrier, &what) == 0);
  int fd = accept(meeting, NULL, NULL);
  CHECK(fd >= 0 && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
  say(fd, &web, said, SIZE, cuts);
  struct told told = next(&web);
  CHECK(told.subject == last_id && told.event == (right ? IM_EVENT_OPENED : IM_EVENT_FAILED));
  CHECK(right || told.detail == EBADMSG);
  if (right && purpose == IM_HAND) close(told.detail);
  if (right && purpose == IM_GIVE) close(finish(ends[0], &port));
  if (!right && purpose == IM_GIVE) CHECK(close(ends[0]) == 0 && close(ends[1]) == 0); /* untouched, as it failed */
  carrier_drop(web.carrier, API);
  close(fd);
}

/* ---- the side that is connected to waits for it, in front of the ports ---- */

static void used(int guest, const char *said, unsigned cuts, bool right) {
  struct im_opening what = opening_to(&meeting_at, IM_POOL_IN, WEB, "", secret);
  char header[SIZE + IM_PORTS_SIZE] = {0};
  uint16_t port;
  int on = 1;
  what.id = ++last_id;
  CHECK(carrier_open(api.carrier, &what) == 0);
  int fd = accept(meeting, NULL, NULL);
  CHECK(fd >= 0 && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
  expect(&api, IM_EVENT_OPENED, last_id);
  memcpy(header, said, SIZE);
  header[SIZE + 1] = 80;
  header[SIZE + 2] = 77;
  say(fd, &api, header, sizeof header, cuts);
  if (right) {
    int server = accept_carried(&api, guest, &port);
    CHECK(server >= 0 && port == 77 * 256);
    close(server);
  } else CHECK(is_over(fd));
  close(fd);
}

static void all(void (*attempt)(int, const char *, unsigned, bool), int subject) {
  const unsigned every = ~0u;
  char said[SIZE];
  memcpy(said, secret, SIZE);
  attempt(subject, said, 0, true);
  attempt(subject, said, every, true);
  for (unsigned cut = 1; cut < SIZE; cut++) attempt(subject, said, 1u << cut, true);
  for (int wrong = 0; wrong < SIZE; wrong++) {
    said[wrong] ^= 1;
    attempt(subject, said, 0, false);
    attempt(subject, said, every, false);
    for (unsigned cut = 1; cut < SIZE; cut++) attempt(subject, said, 1u << cut, false);
    said[wrong] ^= 1;
  }
  for (int i = 0; i < SIZE - 1; i++) said[i] ^= 0x80; /* all but the last byte */
  attempt(subject, said, 1u << (SIZE - 1), false);
}

static void opened_as(int purpose, const char *said, unsigned cuts, bool right) {
  opened((enum im_purpose)purpose, said, cuts, right);
}

int main(void) {
  static const struct {
    enum im_purpose purpose;
    const char *name;
  } waiting[] = {{IM_HAND, "for JavaScript"}, {IM_POOL_OUT, "for the pool"}, {IM_GIVE, "for one guest"}};
  struct sockaddr_in address;
  int guest = listen_at(FACES | (API & 0xffff), 16, &address), before = descriptors();
  meeting = listen_at(HERE, 16, &meeting_at);
  start(&web);
  start(&api);
  struct im_listener listens = {.port = 80, .real = ntohl(address.sin_addr.s_addr), .real_port = ntohs(address.sin_port)};
  carrier_listeners(api.carrier, &listens, 1);
  for (size_t i = 0; i < sizeof waiting / sizeof *waiting; i++) {
    puts(waiting[i].name);
    all(opened_as, waiting[i].purpose);
  }
  puts("a pooled one, when it is used");
  all(used, guest);
  CHECK(is_quiet(&web) && is_quiet(&api));
  end(&web);
  end(&api);
  close(meeting);
  no_more_descriptors(before);
  puts("ok");
  return 0;
}
