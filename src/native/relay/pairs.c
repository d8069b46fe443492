#define _GNU_SOURCE
#include "parts.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

/* A pair with one direction at its end is broken off when the other one moved nothing for so many sweeps. */
#define HALF_CLOSED_SWEEPS 15

void pairs_join(struct relay *relay, struct expectation *expectation, struct connection *sides[2]) {
  struct relayed *relayed = calloc(1, sizeof *relayed);
  uint32_t id = expectation->id;
  atomic_fetch_add(&relay->pairs, 1);
  tokens_remove(&relay->tokens, expectation);
  free(expectation);
  if (!relayed) {
    atomic_fetch_sub(&relay->pairs, 1);
    for (int i = 0; i < 2; i++) arrivals_reject(relay, sides[i], "no memory");
    return;
  }
  pair_init(&relayed->pair, sides[0]->fd, sides[1]->fd);
  relayed->id = id;
  relayed->later = relay->relayed;
  if (relay->relayed) relay->relayed->earlier = relayed;
  relay->relayed = relayed;
  struct relay_event event = {.kind = RELAY_PAIRED, .id = id};
  relay_tell(relay, &event);
  for (int i = 0; i < 2; i++) {
    sides[i]->state = RELAYED;
    sides[i]->relayed = relayed;
    relayed->sides[i] = sides[i];
    /* Nothing was sent to it before, so there is room, unless it is gone: then the pair has that error. */
    if (send(sides[i]->fd, "\1", 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1) relayed->broken = errno;
  }
  /* What came behind a token has made its event already. */
  pairs_add(relay, relayed);
}

void pairs_add(struct relay *relay, struct relayed *relayed) {
  if (relayed->queued) return;
  relayed->queued = true;
  relayed->next_queued = NULL;
  if (relay->last_queued)
    relay->last_queued->next_queued = relayed;
  else
    relay->first_queued = relayed;
  relay->last_queued = relayed;
}

static void end_pair(struct relay *relay, struct relayed *relayed, int error) {
  pair_close(&relayed->pair, &relay->pipes, error == 0);
  for (int i = 0; i < 2; i++) queue_bury(relay, relayed->sides[i]);
  if (relayed->earlier)
    relayed->earlier->later = relayed->later;
  else
    relay->relayed = relayed->later;
  if (relayed->later) relayed->later->earlier = relayed->earlier;
  atomic_fetch_sub(&relay->pairs, 1);
  struct relay_event event = {.kind = RELAY_ENDED,
                              .id = relayed->id,
                              .bytes = {relayed->pair.flows[0].bytes, relayed->pair.flows[1].bytes},
                              .error = error};
  free(relayed);
  relay_tell(relay, &event);
}

static int error_of(const struct relayed *relayed) {
  for (int i = 0; i < 2; i++) {
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(relayed->pair.fds[i], SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error != 0) return error;
  }
  return 0;
}

void pairs_run(struct relay *relay) {
  struct relayed *next = relay->first_queued;
  relay->first_queued = relay->last_queued = NULL;
  while (next) {
    struct relayed *relayed = next;
    next = relayed->next_queued;
    relayed->queued = false;
    int error = 0;
    enum progress progress = pair_move(&relayed->pair, &relay->pipes, &error);
    if (progress == PAIR_GOES_ON) {
      pairs_add(relay, relayed);
    } else if (progress == PAIR_ENDED) {
      end_pair(relay, relayed, 0);
    } else {
      if (progress == PAIR_WAITS) error = relayed->broken ? relayed->broken : relayed->troubled ? error_of(relayed) : 0;
      relayed->troubled = false;
      if (error != 0) end_pair(relay, relayed, error);
    }
  }
}

void pairs_sweep(struct relay *relay) {
  for (struct relayed *relayed = relay->relayed; relayed; relayed = relayed->later) {
    const struct flow *flows = relayed->pair.flows;
    uint64_t bytes = flows[0].bytes + flows[1].bytes;
    bool quiet = (flows[0].eof || flows[1].eof) && bytes == relayed->bytes_at_sweep;
    relayed->bytes_at_sweep = bytes;
    relayed->quiet_sweeps = quiet ? relayed->quiet_sweeps + 1 : 0;
    if (relayed->quiet_sweeps < HALF_CLOSED_SWEEPS) continue;
    relayed->broken = ETIMEDOUT;
    pairs_add(relay, relayed);
  }
}

void pairs_close(struct relay *relay) {
  while (relay->relayed) {
    struct relayed *relayed = relay->relayed;
    relay->relayed = relayed->later;
    pair_close(&relayed->pair, &relay->pipes, false);
    for (int i = 0; i < 2; i++) queue_bury(relay, relayed->sides[i]);
    free(relayed);
  }
}
