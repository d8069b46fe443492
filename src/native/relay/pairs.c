#define _GNU_SOURCE
#include "parts.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define SWEEP (60000 * IM_MS) /* between two looks at the pairs */
/* A pair with one direction at its end is broken off when the other one moved nothing for this number of sweeps. */
#define HALF_CLOSED_SWEEPS 15
/* Of a side that is probed: seconds until the first probe and between two, and how many are not answered at the end. */
#define PROBE_INTERVAL 1
#define PROBES 3
/* Milliseconds. */
#define PROBE_MARGIN 3000
#define LEAST_PATIENCE 8000

bool pairs_keep_alive(int fd, int seconds, int probes) {
  return setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds) == 0 &&
         setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof seconds) == 0 &&
         setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes) == 0;
}

/* It has something to do. */
static void add(struct im_relay *relay, struct im_relayed *relayed) {
  if (relayed->queued) return;
  relayed->queued = true;
  relayed->next_queued = NULL;
  if (relay->last_queued)
    relay->last_queued->next_queued = relayed;
  else
    relay->first_queued = relayed;
  relay->last_queued = relayed;
}

static void on_event(void *context, void *owner, uint32_t events) {
  const struct im_arrival *arrival = owner;
  struct im_relayed *relayed = arrival->relayed;
  if (events & EPOLLERR) relayed->troubled = true;
  if (events & ~(uint32_t)EPOLLOUT)
    splice_readable(&relayed->pair, arrival == relayed->sides[1], events & ~(uint32_t)(EPOLLOUT | EPOLLIN));
  add(context, relayed);
}

/* Breaks off what is half closed and moves nothing. */
static void on_sweep(void *context, void *owner) {
  struct im_relay *relay = context;
  (void)owner;
  for (struct im_relayed *relayed = relay->relayed; relayed; relayed = relayed->later) {
    const struct im_flow *flows = relayed->pair.flows;
    uint64_t bytes = flows[0].bytes + flows[1].bytes;
    bool quiet = (flows[0].eof || flows[1].eof) && bytes == relayed->bytes_at_sweep;
    relayed->bytes_at_sweep = bytes;
    relayed->quiet_sweeps = quiet ? relayed->quiet_sweeps + 1 : 0;
    if (relayed->quiet_sweeps < HALF_CLOSED_SWEEPS) continue;
    relayed->broken = ETIMEDOUT;
    add(relay, relayed);
  }
  if (relay->relayed) reactor_set(&relay->reactor, &relay->sweep, clock_now() + SWEEP);
}

/* What a side is to have before the other one's bytes. There is room, unless it is gone: then the pair has that error.
 */
static int greet(const struct im_arrival *side, const struct im_preface *preface) {
  unsigned char bytes[1 + IM_PREFACE_MOST] = {1};
  size_t size = 0;
  if (side->direct || !side->caller) {
    size = side->direct ? 0 : 1;
    memcpy(bytes + size, preface->bytes, preface->size);
    size += preface->size;
  }
  if (size == 0) return 0;
  ssize_t sent = send(side->fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
  return sent == (ssize_t)size ? 0 : sent < 0 ? errno : ENOBUFS;
}

/* NULL: there is no memory. */
static struct im_relayed *new_pair(struct im_relay *relay, uint32_t id, struct im_arrival *sides[2]) {
  struct im_relayed *relayed = calloc(1, sizeof *relayed);
  if (!relayed) return NULL;
  atomic_fetch_add(&relay->pairs, 1);
  splice_init(&relayed->pair, sides[0]->fd, sides[1]->fd);
  relayed->id = id;
  for (int i = 0; i < 2; i++) {
    sides[i]->source.on_event = on_event;
    sides[i]->relayed = relayed;
    relayed->sides[i] = sides[i];
  }
  relayed->later = relay->relayed;
  if (relay->relayed) relay->relayed->earlier = relayed;
  relay->relayed = relayed;
  relay->sweep.on_time = on_sweep;
  if (!relay->sweep.at) reactor_set(&relay->reactor, &relay->sweep, clock_now() + SWEEP);
  return relayed;
}

bool pairs_join(struct im_relay *relay, struct im_expectation *expectation, uint32_t id, struct im_arrival *sides[2]) {
  struct im_relayed *relayed = new_pair(relay, id, sides);
  if (expectation) tokens_remove(&relay->tokens, expectation);
  free(expectation);
  if (!relayed) return false;
  struct im_relay_event event = {.kind = IM_RELAY_PAIRED, .id = id};
  relay_report(relay, &event);
  for (int i = 0; i < 2; i++) {
    int error = greet(sides[i], &sides[1 - i]->preface);
    if (error) relayed->broken = error;
  }
  for (int i = 0; i < 2; i++) callers_forget(relay, sides[i]);
  /* What came behind a token has made its event already. */
  add(relay, relayed);
  return true;
}

bool pairs_join_led(struct im_relay *relay, struct im_arrival *sides[2]) {
  struct im_relayed *relayed = new_pair(relay, 0, sides);
  if (!relayed) return false;
  relayed->led = true;
  splice_wait(&relayed->pair);
  for (int i = 0; i < 2; i++)
    if (!reactor_watch(&relay->reactor, &sides[i]->source, sides[i]->fd, IM_READ)) relayed->broken = errno;
  if (relayed->broken) add(relay, relayed);
  return true;
}

/* A side of a led pair is watched for room from the first time on that something waits for it. */
static void watch_for_room(struct im_relay *relay, struct im_relayed *relayed) {
  for (int i = 0; i < 2; i++) {
    struct im_arrival *side = relayed->sides[i];
    if (relayed->pair.flows[1 - i].held == 0 || side->watched_for_room) continue;
    side->watched_for_room = true;
    if (!reactor_watch(&relay->reactor, &side->source, side->fd, IM_WATCHED)) relayed->broken = errno;
  }
}

bool pairs_full(struct im_relay *relay) {
  return tokens_count(&relay->tokens, NULL) + atomic_load(&relay->pairs) >= relay->options.most_pairs;
}

static void close_pair(struct im_relay *relay, struct im_relayed *relayed, bool orderly) {
  for (int i = 0; i < 2; i++) queue_bury(relay, relayed->sides[i]);
  splice_close(&relayed->pair, &relay->pipes, orderly);
}

static void end_pair(struct im_relay *relay, struct im_relayed *relayed, int error) {
  close_pair(relay, relayed, error == 0);
  if (relayed->earlier)
    relayed->earlier->later = relayed->later;
  else
    relay->relayed = relayed->later;
  if (relayed->later) relayed->later->earlier = relayed->earlier;
  atomic_fetch_sub(&relay->pairs, 1);
  struct im_relay_event event = {.kind = IM_RELAY_ENDED,
                                 .id = relayed->id,
                                 .bytes = {relayed->pair.flows[0].bytes, relayed->pair.flows[1].bytes},
                                 .error = error};
  bool led = relayed->led;
  free(relayed);
  if (!led) relay_report(relay, &event);
}

static int error_of(const struct im_relayed *relayed) {
  for (int i = 0; i < 2; i++) {
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(relayed->pair.fds[i], SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error != 0) return error;
  }
  return 0;
}

void pairs_run(struct im_relay *relay) {
  struct im_relayed *next = relay->first_queued;
  relay->first_queued = relay->last_queued = NULL;
  while (next) {
    struct im_relayed *relayed = next;
    next = relayed->next_queued;
    relayed->queued = false;
    int error = 0;
    enum im_progress progress = splice_move(&relayed->pair, &relay->pipes, &error);
    if (progress == IM_SPLICE_GOES_ON) {
      add(relay, relayed);
    } else if (progress == IM_SPLICE_ENDED) {
      end_pair(relay, relayed, 0);
    } else {
      if (relayed->led && progress == IM_SPLICE_WAITS) watch_for_room(relay, relayed);
      if (progress == IM_SPLICE_WAITS)
        error = relayed->broken ? relayed->broken : relayed->troubled ? error_of(relayed) : 0;
      relayed->troubled = false;
      if (error != 0) end_pair(relay, relayed, error);
    }
  }
}

/* Lock held. */
static struct im_relayed *find(const struct im_relay *relay, uint32_t id) {
  struct im_relayed *relayed = relay->relayed;
  while (relayed && (relayed->led || relayed->id != id)) relayed = relayed->later;
  return relayed;
}

/*
 * Milliseconds that data may wait to be acknowledged. The kernel sends no probe where data waits, but sends the data
 * again, each time after twice as long: it is to have done so once more.
 */
static unsigned patience_with(int fd) {
  struct tcp_info info = {0};
  socklen_t length = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return LEAST_PATIENCE;
  unsigned more = 2 * (info.tcpi_rto / 1000) + PROBE_MARGIN;
  return more > LEAST_PATIENCE ? more : LEAST_PATIENCE;
}

bool relay_probe(struct im_relay *relay, uint32_t id, int side, bool on) {
  reactor_lock(&relay->reactor);
  const struct im_relayed *relayed = find(relay, id);
  if (relayed) {
    int fd = relayed->pair.fds[side];
    unsigned patience = on ? patience_with(fd) : 0;
    pairs_keep_alive(fd, on ? PROBE_INTERVAL : IM_KEEP_ALIVE, on ? PROBES : IM_KEEP_ALIVE_PROBES);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &patience, sizeof patience);
  }
  reactor_unlock(&relay->reactor);
  return relayed != NULL;
}

bool relay_break_off(struct im_relay *relay, uint32_t id) {
  reactor_lock(&relay->reactor);
  struct im_relayed *relayed = find(relay, id);
  if (relayed) {
    relayed->broken = ETIMEDOUT;
    add(relay, relayed);
  }
  reactor_unlock(&relay->reactor);
  if (relayed) reactor_wake(&relay->reactor);
  return relayed != NULL;
}

bool relay_sent(struct im_relay *relay, uint32_t id, struct im_relay_sent sent[2]) {
  reactor_lock(&relay->reactor);
  const struct im_relayed *relayed = find(relay, id);
  for (int side = 0; relayed && side < 2; side++) {
    const struct im_flow *flow = &relayed->pair.flows[1 - side];
    int queued = 0;
    if (ioctl(relayed->pair.fds[side], SIOCOUTQ, &queued) != 0) queued = 0;
    if (flow->shut && queued > 0) queued--; /* the end of the stream is no data */
    sent[side] = (struct im_relay_sent){flow->bytes, (uint64_t)queued + flow->held};
  }
  reactor_unlock(&relay->reactor);
  return relayed != NULL;
}

void pairs_close(struct im_relay *relay) {
  while (relay->relayed) {
    struct im_relayed *relayed = relay->relayed;
    relay->relayed = relayed->later;
    close_pair(relay, relayed, false);
    free(relayed);
  }
}
