/* The data port's parts, for each other. All of it is the thread's, but for what relay.h says. */
#ifndef IMAGINARY_NATIVE_RELAY_PARTS_H
#define IMAGINARY_NATIVE_RELAY_PARTS_H

#include "relay.h"
#include "splice.h"

#include <pthread.h>
#include <stdatomic.h>

#define WORD 4 /* what a client begins with */
#define ADDRESSES 1024
#define REJECTED_PAUSE 1000 /* between two events about rejected ones */
/* Probes that one address may make at once. Hundreds of members may share one. */
#define PROBE_BURST 4096
#define SWEEP 60000 /* between two looks at the pairs */

enum state { FRESH, PROBED, WAITING, RELAYED, DEAD };

struct relayed;

struct connection {
  struct connection *earlier, *later; /* in the queue of its state; `later` also among the dead */
  int fd;
  enum state state;
  uint32_t address;
  uint16_t port;
  size_t got;
  unsigned char header[WORD + TOKEN_BYTES];
  int64_t deadline;
  struct expectation *expectation; /* WAITING */
  struct relayed *relayed;         /* RELAYED */
};

struct relayed {
  struct pair pair;
  struct connection *sides[2];
  uint32_t id;
  /* Among those that have something to do. They are ended from there only. */
  bool queued;
  struct relayed *next_queued;
  bool troubled; /* a socket has an error, which may come after data */
  int broken;    /* to be broken off, with this errno */
  struct relayed *earlier, *later;
  uint64_t bytes_at_sweep;
  int quiet_sweeps;
};

/* Connections in the order of their deadlines. */
struct queue {
  struct connection *first, *last;
  size_t count;
};

struct bucket {
  double tokens;
  int64_t last;
};

struct relay {
  struct relay_options options;
  int listener, epoll, wake;
  pthread_t thread;
  atomic_bool stopping;
  atomic_size_t pairs;
  struct tokens tokens;
  struct queue fresh, probes;
  struct connection *dead;
  struct relayed *relayed;
  struct relayed *first_queued, *last_queued;
  struct pipes pipes;
  int64_t accept_again; /* 0: accepts */
  int64_t next_sweep;
  uint32_t rejected;
  struct relay_event last_rejected;
  int64_t rejected_told;
  struct bucket buckets[ADDRESSES];
};

/* ---- queue.c ---- */

void queue_add(struct queue *queue, struct connection *connection, int64_t deadline);
void queue_remove(struct queue *queue, struct connection *connection);
/* The structure stays until the events that were fetched together have been looked at. */
void queue_bury(struct relay *relay, struct connection *connection);
void queue_free_dead(struct relay *relay);
/* Closes one that has not become part of a pair: with a reset, see open.c. */
void queue_drop(struct relay *relay, struct connection *connection);

/* ---- arrivals.c: connections that have to say what they are ---- */

void arrivals_accept(struct relay *relay, int64_t now);
void arrivals_listen(struct relay *relay, bool again);
void arrivals_read(struct relay *relay, struct connection *connection, int64_t now);
/* One side has come, and leaves before the other is there. */
void arrivals_leave(struct relay *relay, struct connection *connection);
void arrivals_reject(struct relay *relay, struct connection *connection, const char *reason);
/* Of those that were rejected, at times. */
void arrivals_tell(struct relay *relay, int64_t now);

/* ---- pairs.c ---- */

void pairs_join(struct relay *relay, struct expectation *expectation, struct connection *sides[2]);
/* It has something to do. */
void pairs_add(struct relay *relay, struct relayed *relayed);
/* One turn for each pair that had something to do when this was called. */
void pairs_run(struct relay *relay);
/* Breaks off what is half closed and moves nothing. */
void pairs_sweep(struct relay *relay);
/* All of them, with a reset. */
void pairs_close(struct relay *relay);

/* ---- loop.c ---- */

int64_t relay_now(void);
void relay_tell(struct relay *relay, const struct relay_event *event);
void *relay_run(void *relay);

#endif
