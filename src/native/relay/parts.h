/* The data port's parts, for each other. All of it is the reactor's thread's, but for what relay.h says. */
#ifndef IMAGINARY_RELAY_PARTS_H
#define IMAGINARY_RELAY_PARTS_H

#include "base/reactor.h"
#include "relay.h"
#include "splice.h"

#include <stdatomic.h>

#define IM_WORD_SIZE 4 /* what a client begins with */
#define IM_WATCHED (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)
#define IM_READ (EPOLLIN | EPOLLRDHUP | EPOLLET)
#define IM_ADDRESSES 1024
/* Probes that one address may make at once. Hundreds of members may share one. */
#define IM_PROBE_BURST 4096
/* A TLS record: its header, and what it may hold. */
#define IM_HELLO_MOST (5 + 16384)

/* A connection to the data port. */
struct im_arrival {
  struct im_arrival *earlier, *later;
  struct im_queue *queue; /* NULL: in none */
  int fd;
  struct im_source source;
  struct im_timer timer; /* until it has sent its header; until its probe is closed */
  uint32_t address;
  uint16_t port;
  size_t got;
  unsigned char header[IM_WORD_SIZE + IM_TOKEN_SIZE];
  struct im_expectation *expectation; /* its token's, while it waits for the other side */
  struct im_relayed *relayed;         /* with its other side */
  uint32_t caller;                    /* its number, as long as it is a client's that waits; 0: none */
  struct im_preface preface;          /* a client's: what its other side gets first */
  bool direct;                        /* made by the seed itself, to a destination: it has not shown a token */
  uint32_t for_caller, for_pair;      /* while it is being made */
  struct im_clients *clients;         /* that it is counted among until its end; shared with its port */
  struct im_ingress *ingress;         /* a client's that is led: its port */
  bool watched_for_room;              /* a led pair's side */
  struct im_arrival *client;          /* of a guest that it is being led to: that client */
};

/* What is said of clients: how many there were since it was said last. */
struct im_count {
  uint32_t count, last; /* the last one's address */
};

/* A port that clients from outside connect to. */
struct im_ingress {
  struct im_ingress *next;
  int listener;
  uint32_t number;
  struct im_source accepting;
  struct im_timer accept_again;
  struct im_clients *clients; /* NULL: each one is asked about */
  uint32_t address;           /* where clients are led, and */
  uint16_t port;              /* 0: nowhere */
  uint64_t lead;
  struct im_count refused[IM_REFUSALS], led;
  struct im_timer tell;
  int64_t told;
};

struct im_relayed {
  struct im_spliced pair;
  struct im_arrival *sides[2];
  uint32_t id;
  /* Among those that have something to do. They are ended from there only. */
  bool queued;
  struct im_relayed *next_queued;
  bool led;      /* nobody knows it by an id */
  bool troubled; /* a socket has an error, which may come after data */
  int broken;    /* to be broken off, with this errno */
  struct im_relayed *earlier, *later;
  uint64_t bytes_at_sweep;
  int quiet_sweeps;
};

/* The oldest first. */
struct im_queue {
  struct im_arrival *first, *last;
  size_t count;
};

struct im_bucket {
  double tokens;
  int64_t last;
};

struct im_relay {
  struct im_relay_options options;
  struct im_reactor reactor;
  int listener;
  struct im_source accepting;
  struct im_timer accept_again, unused, sweep, report;
  atomic_size_t pairs;
  struct im_tokens tokens;
  struct im_queue fresh, probes, connecting, leading;
  struct im_relayed *relayed;
  struct im_relayed *first_queued, *last_queued;
  struct im_pipes pipes;
  unsigned char few[IM_FEW];
  uint32_t rejected;
  struct im_relay_event last_rejected;
  int64_t rejected_reported;
  struct im_bucket buckets[IM_ADDRESSES];
  struct im_ingress *ingresses;
  struct im_arrival **callers; /* by number; NULL: there is no ingress */
  uint32_t callers_count, most_callers, last_caller;
  unsigned char hello[IM_HELLO_MOST];
};

static inline void relay_report(struct im_relay *relay, const struct im_relay_event *event) {
  relay->options.on_event(relay->options.context, event);
}

/* ---- queue.c ---- */

void queue_add(struct im_queue *queue, struct im_arrival *arrival);
void queue_remove(struct im_arrival *arrival);
/* Its socket is closed by the caller; the structure stays until the end of the round. */
void queue_bury(struct im_relay *relay, struct im_arrival *arrival);
/* Closes one that has not become part of a pair: with a reset, see relay.c. */
void queue_drop(struct im_relay *relay, struct im_arrival *arrival);

/* ---- arrivals.c: connections that have to say what they are ---- */

bool arrivals_listen(struct im_relay *relay);

/* ---- pairs.c ---- */

/* A peer that vanishes is found by keep-alive, after 60 + 10 * 60 seconds: a host may be suspended. */
#define IM_KEEP_ALIVE 60
#define IM_KEEP_ALIVE_PROBES 10

/* How soon, and how often, keep-alive probes are sent. False with errno. */
bool pairs_keep_alive(int fd, int seconds, int probes);

/* `expectation`: freed; may be NULL. False: there is no memory. The sides still belong to who calls. */
bool pairs_join(struct im_relay *relay, struct im_expectation *expectation, uint32_t id, struct im_arrival *sides[2]);
/* The same for a client that is led, and its destination: nobody knows them. They are watched from now on. */
bool pairs_join_led(struct im_relay *relay, struct im_arrival *sides[2]);
/* One turn for each pair that had something to do when this was called. */
void pairs_run(struct im_relay *relay);
/* All of them, with a reset. */
void pairs_close(struct im_relay *relay);
/* There is room for no other one, those that are expected or being made included. */
bool pairs_full(struct im_relay *relay);

/* ---- callers.c: clients from outside, until they have their other side ---- */

/* It waits from now on, from that address and port. NULL: there is no room; the socket is closed. */
struct im_arrival *callers_add(struct im_relay *relay, int fd, uint32_t address, uint16_t port);
/* NULL: it is gone, or has its other side. */
struct im_arrival *callers_find(const struct im_relay *relay, uint32_t caller);
/* A connection that is nobody's yet waits, and is reported. */
void callers_ask(struct im_relay *relay, const struct im_ingress *ingress, struct im_arrival *arrival);
/* It waits no longer. */
void callers_forget(struct im_relay *relay, struct im_arrival *arrival);
/* Nobody has come for it: it waits again. */
void callers_return(struct im_arrival *arrival);
/* Resets those that wait, and closes the ports. */
void callers_close(struct im_relay *relay);

/* ---- leads.c: clients whose destination is known ---- */

/* The client is connected, or will be, or is a caller. */
void leads_take(struct im_relay *relay, struct im_ingress *ingress, struct im_arrival *client);
/* Resets those that are being connected. */
void leads_close(struct im_relay *relay);

/* ---- tell.c: clients of which only the number is said ---- */

void tell_refused(struct im_relay *relay, struct im_ingress *ingress, enum im_refusal refusal, uint32_t address);
void tell_led(struct im_relay *relay, struct im_ingress *ingress, uint32_t address);
/* Says what is to be said now. */
void tell_all(struct im_relay *relay, struct im_ingress *ingress);

/* ---- connects.c: connections to a destination that the seed itself can reach ---- */

/* A socket that is being connected. The guest sees where the client is, as far as this machine has that address. -1. */
int connects_begin(uint32_t client, uint32_t address, uint16_t port);
/* It is reported as unused. False: there is none with that id. */
bool connects_withdraw(struct im_relay *relay, uint32_t id);
/* Resets those that are being made. */
void connects_close(struct im_relay *relay);

/* ---- relay.c ---- */

/* Of a socket that becomes part of a pair, or of its listener. False with errno. */
bool relay_set_options(int fd);
/* The same where the other end is this machine's: nothing there vanishes without a word. */
bool relay_set_local_options(int fd);

#endif
