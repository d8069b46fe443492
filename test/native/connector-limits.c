/*
 * What other members may have here: a share each of this process' descriptors, whatever they ask for, and nothing of
 * what this side asks for itself. And what happens when no descriptor is left.
 */
#define _GNU_SOURCE
#include "members.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define LIMIT 256
#define SHARE (LIMIT / 4 * 3)
#define THIRD 0x64400003u
#define OURS 0x7f000603u /* 127.0.6.3 */
#define PORT 20200
#define LONG 60000 /* milliseconds: none ends while they are counted */

static struct member api;
static struct sockaddr_in meeting_at;

static void set_limit(rlim_t limit) {
  struct rlimit both;
  CHECK(getrlimit(RLIMIT_NOFILE, &both) == 0);
  both.rlim_cur = limit;
  CHECK(setrlimit(RLIMIT_NOFILE, &both) == 0);
}

static int begun(enum im_purpose purpose, uint32_t peer) {
  struct im_opening what = opening_to(&meeting_at, purpose, peer, "", "never said");
  what.id = ++last_id;
  what.timeout = LONG;
  return connector_open(api.connector, &what);
}

/* So many are taken; the next one is refused with the errno that says so. */
static uint32_t taken(enum im_purpose purpose, uint32_t peer, uint32_t most) {
  uint32_t count = 0;
  int error;
  while ((error = begun(purpose, peer)) == 0 && count <= most) count++;
  CHECK(error == EDQUOT || count > most);
  return count;
}

/* Ten seconds at most. */
static void until(bool (*holds)(const struct im_connector *)) {
  for (int i = 0; i < 2000; i++) {
    pthread_mutex_lock(&api.connector->reactor.lock);
    bool done = holds(api.connector);
    pthread_mutex_unlock(&api.connector->reactor.lock);
    if (done) return;
    poll(NULL, 0, 5);
  }
  CHECK(!"in time");
}

static bool has_none(const struct im_connector *connector) { return !connector->all; }

static int client;

/* valgrind accepts it, and closes it, before it says that there is no descriptor. */
static bool is_taken(void) {
  char byte;
  return recv(client, &byte, 1, MSG_DONTWAIT) == 0 || errno != EAGAIN;
}

static bool has_missed_one(const struct im_connector *connector) {
  return (connector->all && connector->reactor.timers->due < connector->all->deadline) || is_taken();
}

static void quiet(void) {
  while (!is_quiet(&api)) next(&api);
}

static void shares(void) {
  static const enum im_purpose asked[] = {IM_POOL_IN, IM_DELIVER, IM_SIGNALLING_IN},
                               own[] = {IM_POOL_OUT, IM_HAND, IM_SIGNALLING_OUT};
  struct im_pair pairs[64] = {{0}};
  for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
    uint32_t part = asked[i] == IM_POOL_IN ? 3 : 2, first = SHARE / part, second = (SHARE - first) / part;
    printf("purpose %d: a part of what others may have for the first, of the rest for the next, ours as always\n",
           asked[i]);
    CHECK(taken(asked[i], WEB, SHARE) == first);
    /* Its guests have room beside what stands ready. */
    CHECK(begun(IM_DELIVER, WEB) == (asked[i] == IM_POOL_IN ? 0 : EDQUOT));
    if (asked[i] == IM_POOL_IN) CHECK(connector_cancel(api.connector, last_id));
    struct im_opening many = opening_to(&meeting_at, IM_POOL_IN, WEB, "", "");
    many.id = ++last_id;
    CHECK(connector_fill(api.connector, &many, pairs, 64) == EDQUOT);
    for (size_t j = 0; j < sizeof own / sizeof *own; j++) CHECK(begun(own[j], WEB) == 0);
    CHECK(taken(asked[i], THIRD, SHARE) == second);
    CHECK(begun(asked[i], WEB) == EDQUOT);
    end(&api);
    start(&api);
  }
  puts("what is over is free again");
  CHECK(taken(IM_DELIVER, WEB, SHARE) == SHARE / 2);
  uint32_t last = last_id - 1;
  CHECK(connector_cancel(api.connector, last) && begun(IM_DELIVER, WEB) == 0 && begun(IM_DELIVER, WEB) == EDQUOT);
  end(&api);
  start(&api);
}

static void one_channel(void) {
  int ends[2], listener;
  puts("a member that makes another signalling channel loses the one before");
  for (int i = 0; i < 2; i++) {
    struct sockaddr_in at;
    listener = listen_at(HERE, 1, &at);
    struct im_opening what = opening_to(&at, IM_SIGNALLING_IN, WEB, "0123456789abcdef", "fedcba9876543210");
    what.id = ++last_id;
    what.own_first = what.their_first = 1;
    what.own_count = what.their_count = 1;
    CHECK(connector_open(api.connector, &what) == 0);
    CHECK((ends[i] = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0);
    expect(&api, IM_EVENT_OPENED, last_id);
    close(listener);
  }
  char byte;
  CHECK(is_over(ends[0]) && recv(ends[1], &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
  close(ends[0]);
  close(ends[1]);
  until(has_none); /* a descriptor of theirs would be free again later */
}

static void say_hello(void) {
  struct sockaddr_in from = connection_address(OURS, PORT), to = connection_address(HERE, PORT);
  int on = 1;
  CHECK(setsockopt(client, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0);
  CHECK(bind(client, (struct sockaddr *)&from, sizeof from) == 0);
  CHECK(connect(client, (struct sockaddr *)&to, sizeof to) == 0);
  CHECK(send(client, "hello", 5, MSG_NOSIGNAL) == 5);
}

/* Nothing else comes: who waits in the queue is accepted all the same when a descriptor is free again. */
static void exhausted(void) {
  puts("no descriptor for one that is waited for: it is accepted as soon as there is one");
  struct im_opening what = opening_to(&meeting_at, IM_HAND, WEB, "", "hello");
  what.id = ++last_id;
  what.timeout = LONG;
  what.listens = true;
  what.local = HERE;
  what.local_port = PORT;
  what.remote = OURS;
  what.remote_port = PORT;
  CHECK(connector_open(api.connector, &what) == 0);
  int fill[LIMIT], count = 0;
  client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  while ((fill[count] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0) count++;
  CHECK(errno == EMFILE);
  say_hello();
  until(has_missed_one);
  CHECK(is_quiet(&api));
  while (count) close(fill[--count]);
  if (is_taken()) {
    close(client);
    client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    say_hello();
  }
  close(expect(&api, IM_EVENT_OPENED, what.id).detail);
  close(client);
}

int main(void) {
  set_limit(LIMIT);
  int before = descriptors(), meeting = listen_at(HERE, LIMIT, &meeting_at);
  start(&api);
  CHECK(api.connector->share == SHARE);
  shares();
  one_channel();
  quiet();
  exhausted();
  end(&api);
  close(meeting);
  no_more_descriptors(before);
  puts("ok");
  return 0;
}
