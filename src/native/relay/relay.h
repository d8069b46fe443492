/*
 * The seed's data port: answers each probe with the address and port that it comes from, and makes one connection out
 * of two whose tokens belong together. One thread, no Node.js; policy (who gets tokens) is the caller's.
 *
 * A client sends first: `IMP1` for its address (4 bytes) and port (2 bytes, both big-endian), or `IMR1` and a
 * token. When both sides of a pair of tokens are there, each gets the byte 1; from then on their bytes are each
 * other's.
 */
#ifndef IMAGINARY_NATIVE_RELAY_H
#define IMAGINARY_NATIVE_RELAY_H

#include "clients.h"
#include "tokens.h"

#include <netinet/in.h>

struct im_relay;

struct im_relay_event {
  enum im_relay_event_kind {
    IM_RELAY_PAIRED,   /* both sides are there */
    IM_RELAY_ENDED,    /* a pair has ended: `bytes` that went each way; `error`: 0 or why it was broken off, an errno */
    IM_RELAY_UNUSED,   /* a pair of tokens expired, or one side came and left: `arrived` sides had come */
    IM_RELAY_REJECTED, /* `count` connections since the last such event, the last one from `address`, because of
                        * `reason`
                        */
    IM_RELAY_CALLER,   /* a client has connected to the port `ingress`, from `address` and `port`: it waits, as caller
                        * `id`
                        */
    IM_RELAY_CALLER_HELLO, /* of caller `id`: its first TLS record, which was not taken out; none: what came is none */
    IM_RELAY_CALLER_GONE,  /* caller `id` has left, or did not send its TLS record in time */
    IM_RELAY_CLIENTS_REFUSED, /* `count` clients of the port `ingress` were reset since the last such event, the last
                               * one from `address`, because of `reason`
                               */
    IM_RELAY_CLIENTS_LED,     /* `count` clients of it were led to the destination named `lead`, the last one from
                               * `address`
                               */
  } kind;
  uint32_t id;
  uint64_t bytes[2];
  int error;
  int arrived;
  uint32_t count;
  uint32_t address;
  const char *reason;
  uint32_t ingress;
  uint64_t lead;
  uint16_t port;
  unsigned char *hello; /* malloc: the receiver frees it */
  size_t hello_size;
};

/* What a destination gets before a client's own bytes. */
#define IM_PREFACE_MOST 28
struct im_preface {
  unsigned char bytes[IM_PREFACE_MOST];
  uint8_t size;
};

struct im_relay_options {
  struct sockaddr_in address;
  /* Pairs that stand or are expected. */
  size_t most_pairs;
  /* Milliseconds: for a client to say what it wants, for both sides to come, for a probe to be kept open. */
  int header_limit, pair_limit, probe_limit;
  /* On the relay's own thread. */
  void (*on_event)(void *context, const struct im_relay_event *event);
  void *context;
};

/* Listens, and starts the thread. Returns 0 or an errno; *syscall: of what. *port: the port that it listens on. */
int relay_open(const struct im_relay_options *options, struct im_relay **relay, uint16_t *port, const char **syscall);

/*
 * Any thread. The connection to the side with token `a` and that with token `b` will be one. False: the relay is full.
 */
bool relay_expect(struct im_relay *relay, const unsigned char a[IM_TOKEN_SIZE], const unsigned char b[IM_TOKEN_SIZE],
                  uint32_t id);

/*
 * Any thread. The other side of this pair will not come, or the destination is not waited for: IM_RELAY_UNUSED follows
 * at once. False: no pair with that id is expected or being made.
 */
bool relay_withdraw(struct im_relay *relay, uint32_t id);

/*
 * Any thread. What has been sent to each side of the pair so far, and how much of it is not acknowledged. False: there
 * is no such pair.
 */
struct im_relay_sent {
  uint64_t bytes, unacknowledged;
};
bool relay_sent(struct im_relay *relay, uint32_t id, struct im_relay_sent sent[2]);

/*
 * Any thread. Whether the side is there: one that answers nothing within some seconds ends the pair, and the other side
 * is reset. `on` false: its silence is no end any more. False: there is no such pair.
 */
bool relay_probe(struct im_relay *relay, uint32_t id, int side, bool on);

/* Any thread. Resets both sides. False: there is no such pair. */
bool relay_break_off(struct im_relay *relay, uint32_t id);

/*
 * Clients from outside. All of these: any thread.
 *
 * Accepts at `listener`, which the relay owns from now on; `number` names the port in events. 0, or an errno: then the
 * listener is the caller's still. `clients`: who may connect, and is counted until its connection ends, whatever
 * becomes of it; those who may not are reset. It is shared. NULL: all of them are reported.
 */
int relay_accept(struct im_relay *relay, int listener, uint32_t number, struct im_clients *clients);
/*
 * Until this is called anew, clients of a port that has `clients` are connected to that address and port without being
 * asked about: no IM_RELAY_CALLER, no pair with an id. A client that cannot be connected so is reported as a caller.
 * Port 0: all are; also those that are being connected. `lead` names the destination in events. False: no such port.
 */
bool relay_lead(struct im_relay *relay, uint32_t ingress, uint32_t address, uint16_t port, uint64_t lead);
/* Reports the first TLS record of a caller, when it is whole. False: the caller is gone. */
bool relay_hear(struct im_relay *relay, uint32_t caller);
/* Resets a caller. False: it is gone. */
bool relay_refuse(struct im_relay *relay, uint32_t caller);
/* A caller's socket, for whoever calls. -1: it is gone. */
int relay_take(struct im_relay *relay, uint32_t caller);
/*
 * A new caller, as if one had connected from that address and port: it waits, and no IM_RELAY_CALLER is reported. What
 * it says is written to `*fd`, which belongs to whoever calls (CLOEXEC, does not block). 0, or an errno.
 */
int relay_adopt(struct im_relay *relay, uint32_t address, uint16_t port, uint32_t *caller, int *fd);
/*
 * The caller has token `a` of the pair: its other side comes with token `b`. Until then the caller waits; if nobody
 * comes in time, it waits for another decision (IM_RELAY_UNUSED). False: it is gone, or the relay is full.
 */
bool relay_admit(struct im_relay *relay, uint32_t caller, const unsigned char a[IM_TOKEN_SIZE],
                 const unsigned char b[IM_TOKEN_SIZE], uint32_t id, const struct im_preface *preface);
/* Where a caller's connection goes. `client`: the caller's address; the destination sees it where this machine has it.
 */
struct im_destination {
  uint32_t caller, id, client, address;
  uint16_t port;
};
/*
 * Connects to the destination, and makes one connection of both. Where that fails, or takes longer than the limit
 * of a pair, IM_RELAY_UNUSED has the error, and the caller waits for another decision. 0, or an errno: nothing is
 * reported.
 */
int relay_connect(struct im_relay *relay, const struct im_destination *to, const struct im_preface *preface);

/* Resets all connections, ends the thread. No event comes after it. */
void relay_close(struct im_relay *relay);

#endif
