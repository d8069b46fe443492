/*
 * Connections that the supervisor opens for guests and takes for them, where guests cannot connect to each other: two
 * threads, no policy. JavaScript says what to open and what it is for; from then on a connection of the pool costs
 * it nothing. No Node.js here: src/native/addon/connector_binding.c is the addon's side. README.md is the map.
 */
#ifndef IMAGINARY_CONNECTOR_H
#define IMAGINARY_CONNECTOR_H

#include "contract/abi/connector.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IM_SECRET_MOST 36 /* a relay's token with its four bytes in front */
#define IM_PORTS_SIZE 4   /* to and from which port: behind the secret that a pooled connection sends when it is used */
#define IM_PAIR_SECRET 16

struct im_connector;
struct im_connection;
struct im_request;

struct im_opening {
  uint32_t id; /* 0: JavaScript has not asked for it, and gets no event */
  enum im_purpose purpose;
  bool listens;  /* the other side connects to the chosen port: where nothing in between would keep both SYNs waiting */
  bool outside;  /* the other side is no member, but a client that has come through the seed's ingress */
  uint32_t peer; /* virtual address of the other side; of a client from outside, its own */
  uint64_t epoch; /* its epoch */
  uint32_t local; /* 0: any */
  uint16_t local_port;
  uint32_t remote;
  uint16_t remote_port;
  uint32_t timeout;           /* milliseconds until it must be open */
  uint32_t ttl;               /* milliseconds that it is kept unused */
  uint32_t low;               /* POOL_OUT: IM_EVENT_USED is reported when no more than these are left or being made */
  uint16_t port, source_port; /* DELIVER; GIVE: the port that the guest has bound, or 0 */
  int reply_to;               /* GIVE: closed when it was answered, untouched when the opening failed */
  /*
   * What each side sends first. In a pool the side that keeps it ready sends it when it is used, in front of the ports.
   */
  uint8_t send[IM_SECRET_MOST], expect[IM_SECRET_MOST];
  uint8_t send_size, expect_size;
  /*
   * A signalling channel: the ports that calls come from, and go to; `send` and `expect` are the keys of its frames,
   * and are not sent.
   */
  uint16_t own_first, own_count, their_first, their_count;
};

/* One of many that differ in this only. */
struct im_pair {
  uint16_t local_port, remote_port;
  uint8_t ours[IM_PAIR_SECRET], theirs[IM_PAIR_SECRET];
};

/* A guest's listener. */
struct im_listener {
  uint16_t port, real_port;
  uint32_t real;
};

/* A host that a connect to that port of a service may go to. */
struct im_place {
  uint32_t service, host; /* virtual addresses */
  uint16_t port;
  uint32_t connections, most; /* at `most` it is full */
  uint32_t given;             /* connects that went there */
};

/* A shim's socket, on behalf of which a request comes. */
struct im_requester {
  /*
   * Called, on any thread and with the lock held, when a request could not be answered; the caller then owns `reply_to`
   * again.
   */
  void (*late)(void *context, const struct im_request *request, int reply_to);
  void *context;
};

/* All of these take the connector's lock. Any thread. */

/* `report` is called on any thread, with the lock held. NULL with errno. */
struct im_connector *connector_create(uint32_t alias_base, void (*report)(void *, enum im_event, uint32_t, int32_t),
                                      void *context);
void connector_hold(struct im_connector *connector);
/* Frees it with the last reference. */
void connector_release(struct im_connector *connector);
/* Ends the threads and every connection. Nothing is reported afterwards. */
void connector_stop(struct im_connector *connector);
/* 0, and what listens does so now; or an errno: then nothing is reported. */
int connector_open(struct im_connector *connector, const struct im_opening *what);
/* The other side of that opening has proved itself elsewhere: what was expected of it first does not come. */
void connector_proved(struct im_connector *connector, uint32_t id);
/*
 * `count` for the pool; IM_EVENT_FILLED reports all of them. Ports and secrets of `what` do not count. 0, or an errno:
 * then nothing is reported.
 */
int connector_fill(struct im_connector *connector, const struct im_opening *what, const struct im_pair *pairs,
                   size_t count);
/*
 * The same, agreed on with the other side's connector over the signalling channel, 64 at most. ENOTCONN: there is no
 * signalling channel.
 */
int connector_call(struct im_connector *connector, uint32_t id, uint32_t peer, uint32_t count, uint32_t low);
/* Gives an opening (or what is left of many) up; nothing is reported of it. False: it has ended, which is reported. */
bool connector_cancel(struct im_connector *connector, uint32_t id);
void connector_listeners(struct im_connector *connector, const struct im_listener *listeners, size_t count);
/* Replaces all places. `given`: of the places before, in their order. */
void connector_services(struct im_connector *connector, const struct im_place *places, size_t count, uint32_t *given,
                        size_t given_count);
/* Closes what is kept ready with that peer (0: with all of them) in both directions. */
void connector_drop(struct im_connector *connector, uint32_t peer);
/*
 * Connections that have arrived and were not accepted yet, after headers that have arrived were looked at; and guests
 * that wait for a connection here.
 */
unsigned connector_arriving(struct im_connector *connector);
/* Idle connections to `peer` minus waiting guests. With peer 0: all idle connections. */
int connector_ready(struct im_connector *connector, uint32_t peer);
/*
 * Answers a shim. True: answered, or will be; `reply_to` is the connector's. False: IM_FLAG_READY is cleared, as that
 * has been answered.
 */
bool connector_answer(struct im_connector *connector, struct im_request *request, int reply_to,
                      const struct im_requester *requester);
/* Requests of the requester with that context are not answered any more. */
void connector_withdraw(struct im_connector *connector, const void *context);

#endif
