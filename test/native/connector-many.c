/*
 * Many batches of connections for the pool, given up, dropped and stopped while they are being begun, and shims that
 * ask for them all the while; without Node.js, under sanitizers.
 */
#define _GNU_SOURCE
#include "members.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define OURS "secret of web..."
#define THEIRS "secret of api..."
#define EACH 12
#define BATCHES 240
#define SHIMS 3

/* ---- the other side: proves itself to whoever comes, and ends what the other one has ended ---- */

static struct sockaddr_in other_at;
static int other;

static void *be_other(void *unused) {
  int set = epoll_create1(EPOLL_CLOEXEC), open = 1;
  struct epoll_event event = {.events = EPOLLIN, .data.fd = other};
  CHECK(epoll_ctl(set, EPOLL_CTL_ADD, other, &event) == 0);
  while (open && epoll_wait(set, &event, 1, -1) == 1) {
    char bytes[64];
    int fd = event.data.fd == other ? accept4(other, NULL, NULL, SOCK_CLOEXEC) : -1;
    if (fd >= 0) {
      (void)!send(fd, THEIRS, IM_PAIR_SECRET, MSG_NOSIGNAL);
      event = (struct epoll_event){.events = EPOLLIN, .data.fd = fd};
      CHECK(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0);
      open++;
    } else if (event.data.fd == other || recv(event.data.fd, bytes, sizeof bytes, 0) <= 0) {
      close(event.data.fd); /* of `other`, when it has been shut down */
      open--;
    }
  }
  close(set);
  return unused;
}

/* ---- what is told of each batch ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int told_of[BATCHES + 1], good_of[BATCHES + 1], told_in_all;
static bool stopped;

static void tell(void *context, enum im_event event, uint32_t subject, int32_t detail) {
  (void)context;
  if (event != IM_EVENT_FILLED) return;
  pthread_mutex_lock(&lock);
  CHECK(!stopped && subject >= 1 && subject <= BATCHES && detail >= 0 && detail <= EACH);
  told_of[subject]++;
  good_of[subject] = detail;
  told_in_all++;
  pthread_cond_signal(&changed);
  pthread_mutex_unlock(&lock);
}

static void wait_told(int count) {
  struct timespec limit;
  clock_gettime(CLOCK_REALTIME, &limit);
  limit.tv_sec += 60;
  pthread_mutex_lock(&lock);
  while (told_in_all < count) CHECK(pthread_cond_timedwait(&changed, &lock, &limit) == 0);
  pthread_mutex_unlock(&lock);
}

static void forget_told(void) {
  memset(told_of, 0, sizeof told_of);
  told_in_all = 0;
  stopped = false;
}

/* ---- steps ---- */

static struct member web;

/* `good` of them go to the other side, the rest to a port that is nobody's. */
static void fill(uint32_t id, uint32_t peer, int good) {
  struct im_opening what = opening_to(&other_at, IM_POOL_OUT, peer, "", "");
  struct im_pair pairs[EACH];
  what.id = id;
  for (int i = 0; i < EACH; i++) {
    pairs[i] = (struct im_pair){.remote_port = i < good ? what.remote_port : 1};
    memcpy(pairs[i].ours, OURS, IM_PAIR_SECRET);
    memcpy(pairs[i].theirs, THEIRS, IM_PAIR_SECRET);
  }
  CHECK(connector_fill(web.connector, &what, pairs, EACH) == 0);
}

static int waiting_or_coming(void) {
  int count = 0;
  pthread_mutex_lock(&web.connector->reactor.lock);
  for (const struct im_pool *pool = web.connector->pools; pool; pool = pool->next)
    count += (int)(pool->coming + pool->waiting);
  CHECK(!web.connector->batches && !web.connector->beginning);
  pthread_mutex_unlock(&web.connector->reactor.lock);
  return count;
}

static bool over;
static int connected, given_back;

static void late(void *context, const struct im_request *request, int reply_to) {
  (void)context, (void)request;
  const struct im_reply reply = {.magic = IM_REPLY_MAGIC, .status = ECONNREFUSED};
  CHECK(send(reply_to, &reply, sizeof reply, MSG_NOSIGNAL) == sizeof reply || errno == EPIPE);
  close(reply_to);
  __atomic_add_fetch(&given_back, 1, __ATOMIC_RELAXED);
}

/* A guest's shim that connects again and again, and now and then leaves before it is answered. */
static void *be_shim(void *context) {
  const struct im_requester requester = {late, context};
  for (unsigned turn = 0; !__atomic_load_n(&over, __ATOMIC_RELAXED); turn++) {
    struct im_request request = connect_request(80, 0, 0);
    uint16_t port;
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    if (!connector_answer(web.connector, &request, ends[1], &requester)) {
      close(ends[0]);
      close(ends[1]);
      sched_yield();
      continue;
    }
    int fd = turn % 7 == 0 ? (close(ends[0]), -1) : finish(ends[0], &port);
    if (fd < 0) continue;
    __atomic_add_fetch(&connected, 1, __ATOMIC_RELAXED);
    close(fd);
  }
  return NULL;
}

/* Gives up what is not there, again and again: whatever is under way is looked at. */
static void *be_nuisance(void *unused) {
  while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) {
    CHECK(!connector_cancel(web.connector, BATCHES + 1));
    sched_yield();
  }
  return unused;
}

static void told_once_each(void) {
  for (int id = 1; id <= BATCHES; id++) {
    if (told_of[id] != 1) fprintf(stderr, "batch %d was told of %d times\n", id, told_of[id]);
    CHECK(told_of[id] == 1);
  }
}

static void many_at_once(void) {
  pthread_t shims[SHIMS], nuisance;
  puts("many batches at once, good, bad and mixed, given up and dropped half begun, while shims ask: each is told of "
       "once");
  for (int i = 0; i < SHIMS; i++) pthread_create(&shims[i], NULL, be_shim, &web);
  pthread_create(&nuisance, NULL, be_nuisance, NULL);
  for (uint32_t id = 1; id <= BATCHES; id++) {
    bool to_third = id % 8 == 5; /* another peer, for which nobody asks */
    fill(id, to_third ? API + 1 : API, id % 4 == 3 ? 0 : EACH / 2 * (int)(1 + id % 2));
    if (id % 6 == 0) (void)connector_cancel(web.connector, id);      /* of some, none is begun yet */
    if (id % 10 == 7) (void)connector_cancel(web.connector, id - 1); /* of some, all are */
    if (id % 48 == 0) connector_drop(web.connector, API);
    if (id % 64 == 0) connector_drop(web.connector, 0);
    if (id % 16 == 0) wait_told((int)id - 8); /* as JavaScript: not without bound */
  }
  wait_told(BATCHES);
  __atomic_store_n(&over, true, __ATOMIC_RELAXED);
  for (int i = 0; i < SHIMS; i++) pthread_join(shims[i], NULL);
  pthread_join(nuisance, NULL);
  told_once_each();
  CHECK(told_in_all == BATCHES && connected > 0);
  CHECK(waiting_or_coming() == 0 && connector_arriving(web.connector) == 0);
  connector_drop(web.connector, 0);
  CHECK(connector_ready(web.connector, 0) == 0 && connector_ready(web.connector, API) == 0);
  forget_told();
}

static void given_up(void) {
  puts("given up at once: what is begun already counts or ends, nothing more is begun");
  fill(1, API, EACH);
  bool found = connector_cancel(web.connector, 1);
  wait_told(1);
  CHECK(found && !connector_cancel(web.connector, 1) && connector_ready(web.connector, API) == good_of[1]);
  puts("dropped at once");
  fill(2, API, EACH);
  connector_drop(web.connector, API);
  wait_told(2);
  CHECK(waiting_or_coming() == 0 && connector_ready(web.connector, API) == 0);
  puts("one that is all bad, another one that is all good");
  fill(3, API, 0);
  fill(4, API, EACH);
  wait_told(4);
  CHECK(good_of[3] == 0 && good_of[4] == EACH && connector_ready(web.connector, API) == EACH &&
        waiting_or_coming() == 0);
  for (int id = 1; id <= 4; id++) CHECK(told_of[id] == 1);
  forget_told();
}

static void stop(void) {
  connector_stop(web.connector);
  pthread_mutex_lock(&lock);
  stopped = true;
  pthread_mutex_unlock(&lock);
  connector_release(web.connector);
}

static void begin_again(void) {
  forget_told();
  CHECK((web.connector = connector_create(ALIAS_BASE, tell, NULL)));
}

int main(void) {
  pthread_t thread;
  int before = descriptors();
  other = listen_at(HERE, 1024, &other_at);
  pthread_create(&thread, NULL, be_other, NULL);
  begin_again();
  many_at_once();
  given_up();
  stop();
  puts("stopped while many are half begun, or none is: each is told of once at most, and nothing afterwards");
  for (int pause = 0; pause < 40; pause++) {
    begin_again();
    for (uint32_t id = 1; id <= 4; id++) fill(id, API, EACH);
    for (int i = 0; i < pause; i++) sched_yield();
    stop();
    for (int id = 1; id <= 4; id++) CHECK(told_of[id] <= 1);
  }
  shutdown(other, SHUT_RDWR);
  pthread_join(thread, NULL);
  no_more_descriptors(before);
  puts("ok");
  return 0;
}
