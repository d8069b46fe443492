#define _GNU_SOURCE
#include "base/secret.h"
#include "parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST_FRESH 1024
#define MOST_PROBES 1024
#define PROBE_RATE 256 /* of one address, a second, beyond IM_PROBE_BURST */
#define ACCEPT_SHARE 64
#define ACCEPT_PAUSE (100 * IM_MS)    /* after the descriptors ran out */
#define REJECTED_PAUSE (1000 * IM_MS) /* between two events about rejected ones */

static void on_report_time(void *context, void *owner) {
  struct im_relay *relay = context;
  (void)owner;
  relay->last_rejected.count = relay->rejected;
  relay->rejected = 0;
  relay->rejected_reported = clock_now();
  relay_report(relay, &relay->last_rejected);
}

static void reject(struct im_relay *relay, struct im_arrival *arrival, const char *reason) {
  if (relay->rejected++ == 0) reactor_set(&relay->reactor, &relay->report, relay->rejected_reported + REJECTED_PAUSE);
  relay->last_rejected = (struct im_relay_event){
      .kind = IM_RELAY_REJECTED, .address = arrival->address, .reason = reason};
  queue_drop(relay, arrival);
}

/* ---- probes ---- */

static bool may_probe(struct im_relay *relay, uint32_t address, int64_t now) {
  struct im_bucket *bucket = &relay->buckets[(address * 2654435761u) >> 22];
  bucket->tokens += (double)(now - bucket->last) * PROBE_RATE / (1000 * IM_MS);
  bucket->last = now;
  if (bucket->tokens > IM_PROBE_BURST) bucket->tokens = IM_PROBE_BURST;
  if (bucket->tokens < 1) return false;
  bucket->tokens -= 1;
  return true;
}

static void on_probe_event(void *context, void *owner, uint32_t events) {
  struct im_arrival *arrival = owner;
  if (!(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))) return;
  struct linger none = {.l_onoff = 0}; /* it has what it came for */
  setsockopt(arrival->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
  queue_drop(context, arrival);
}

static void on_probe_time(void *context, void *owner) { queue_drop(context, owner); }

static void answer_probe(struct im_relay *relay, struct im_arrival *arrival) {
  int64_t now = clock_now();
  if (!may_probe(relay, arrival->address, now)) return reject(relay, arrival, "too many probes");
  unsigned char answer[6];
  uint32_t address = htonl(arrival->address);
  uint16_t port = htons(arrival->port);
  memcpy(answer, &address, sizeof address);
  memcpy(answer + sizeof address, &port, sizeof port);
  if (send(arrival->fd, answer, sizeof answer, MSG_NOSIGNAL | MSG_DONTWAIT) != sizeof answer)
    return queue_drop(relay, arrival);
  queue_remove(arrival);
  if (relay->probes.count >= MOST_PROBES) queue_drop(relay, relay->probes.first);
  queue_add(&relay->probes, arrival);
  arrival->source.on_event = on_probe_event;
  arrival->timer.on_time = on_probe_time;
  reactor_set(&relay->reactor, &arrival->timer, now + relay->options.probe_limit * IM_MS);
}

/* ---- tokens ---- */

/* One side has come, and leaves before the other is there. */
static void on_waiting_event(void *context, void *owner, uint32_t events) {
  struct im_relay *relay = context;
  struct im_arrival *arrival = owner;
  struct im_expectation *expectation = arrival->expectation;
  if (!(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))) return;
  tokens_remove(&relay->tokens, expectation);
  struct im_relay_event event = {.kind = IM_RELAY_UNUSED, .id = expectation->id, .arrived = 1};
  free(expectation);
  queue_drop(relay, arrival);
  relay_report(relay, &event);
}

static void use_token(struct im_relay *relay, struct im_arrival *arrival) {
  const unsigned char *bytes = arrival->header + IM_WORD_SIZE;
  struct im_expectation *expectation = tokens_use(&relay->tokens, bytes);
  if (!expectation) return reject(relay, arrival, "a token that is not expected");
  queue_remove(arrival);
  reactor_clear(&relay->reactor, &arrival->timer);
  arrival->source.on_event = on_waiting_event;
  arrival->expectation = expectation;
  struct im_arrival *other = expectation->arrived;
  if (!other) {
    expectation->arrived = arrival;
    return;
  }
  bool second = secret_is(expectation->tokens[1].bytes, bytes, IM_TOKEN_SIZE);
  struct im_arrival *sides[2] = {second ? other : arrival, second ? arrival : other};
  if (pairs_join(relay, expectation, expectation->id, sides)) return;
  for (int i = 0; i < 2; i++) {
    callers_forget(relay, sides[i]);
    reject(relay, sides[i], "no memory");
  }
}

/* ---- new ones ---- */

/* Reads no byte behind the header: that is for the other side. */
static void read_header(struct im_relay *relay, struct im_arrival *arrival) {
  for (;;) {
    size_t wanted = arrival->got < IM_WORD_SIZE ? IM_WORD_SIZE : sizeof arrival->header;
    ssize_t got = recv(arrival->fd, arrival->header + arrival->got, wanted - arrival->got, MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) { /* one that comes and goes (a port scan, a health check) is not worth an event */
      if (arrival->got > 0) return reject(relay, arrival, "left without saying what it wants");
      return queue_drop(relay, arrival);
    }
    arrival->got += (size_t)got;
    if (arrival->got == IM_WORD_SIZE && memcmp(arrival->header, "IMP1", IM_WORD_SIZE) == 0)
      return answer_probe(relay, arrival);
    if (arrival->got == sizeof arrival->header) return use_token(relay, arrival);
    if (arrival->got >= IM_WORD_SIZE && memcmp(arrival->header, "IMR1", IM_WORD_SIZE) != 0)
      return reject(relay, arrival, "begins with something else than IMP1 or IMR1");
  }
}

static void on_fresh_event(void *context, void *owner, uint32_t events) {
  (void)events;
  read_header(context, owner);
}

static void on_fresh_time(void *context, void *owner) { reject(context, owner, "did not say what it wants in time"); }

static void accept_one(struct im_relay *relay, int fd, const struct sockaddr_in *from) {
  struct im_arrival *arrival = calloc(1, sizeof *arrival);
  if (arrival) arrival->source = (struct im_source){.on_event = on_fresh_event, .owner = arrival};
  if (!arrival || !reactor_watch(&relay->reactor, &arrival->source, fd, IM_WATCHED)) {
    close(fd);
    free(arrival);
    return;
  }
  arrival->fd = fd;
  arrival->address = ntohl(from->sin_addr.s_addr);
  arrival->port = ntohs(from->sin_port);
  arrival->timer = (struct im_timer){.on_time = on_fresh_time, .owner = arrival};
  /* A client that means it sends its header at once: a flood of others costs them their time, not the rest their place.
   */
  if (relay->fresh.count >= MOST_FRESH) reject(relay, relay->fresh.first, "too many that have not said what they want");
  queue_add(&relay->fresh, arrival);
  reactor_set(&relay->reactor, &arrival->timer, clock_now() + relay->options.header_limit * IM_MS);
  read_header(relay, arrival);
}

static void on_accept(void *context, void *owner, uint32_t events) {
  struct im_relay *relay = context;
  (void)owner, (void)events;
  for (int i = 0; i < ACCEPT_SHARE; i++) {
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    int fd = accept4(relay->listener, (struct sockaddr *)&from, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
      accept_one(relay, fd, &from);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      reactor_watch(&relay->reactor, &relay->accepting, relay->listener, 0);
      reactor_set(&relay->reactor, &relay->accept_again, clock_now() + ACCEPT_PAUSE);
      return;
    } else if (errno == EAGAIN) {
      return;
    }
  }
}

static void on_accept_time(void *context, void *owner) {
  struct im_relay *relay = context;
  (void)owner;
  reactor_watch(&relay->reactor, &relay->accepting, relay->listener, EPOLLIN);
}

bool arrivals_listen(struct im_relay *relay) {
  relay->accepting = (struct im_source){.on_event = on_accept};
  relay->accept_again = (struct im_timer){.on_time = on_accept_time};
  relay->report = (struct im_timer){.on_time = on_report_time};
  relay->rejected_reported = clock_now() - REJECTED_PAUSE;
  return reactor_watch(&relay->reactor, &relay->accepting, relay->listener, EPOLLIN);
}
