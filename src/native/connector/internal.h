/*
 * What the connector's files share. The lock held, everywhere, unless a function says otherwise.
 *
 * A connection knows its next step by three tables, so that connection.c and opening.c call no other file:
 *   stage  its callbacks while it is in that state
 *   use    what becomes of it once it is open, by its purpose
 *   asker  where the result of its opening goes
 */
#ifndef IMAGINARY_CONNECTOR_INTERNAL_H
#define IMAGINARY_CONNECTOR_INTERNAL_H

#include "base/reactor.h"
#include "connector.h"

#define IM_BUCKETS 256

struct im_stage {
  bool opening; /* not open yet */
  bool idle;    /* kept unused: it ends when what is kept for its peer is dropped */
  /* Sockets are watched edge-triggered: a stage that begins first drains what is already there. NULL: none. */
  void (*on_event)(struct im_connector *connector, struct im_connection *connection, uint32_t events);
  /* The moment of `connection_at` has come. */
  void (*on_time)(struct im_connector *connector, struct im_connection *connection);
  /* The deadline has passed. NULL: the opening has failed. */
  void (*on_late)(struct im_connector *connector, struct im_connection *connection);
  /* Takes the socket over. NULL: it is closed with a reset. */
  void (*on_close)(struct im_connector *connector, struct im_connection *connection);
  /* Leaves the lists of this stage. */
  void (*on_forget)(struct im_connector *connector, struct im_connection *connection);
  /* Delivers what has arrived and was not looked at. */
  void (*look)(struct im_connector *connector, struct im_connection *connection);
};

struct im_use {
  /* Both sides have proved themselves. */
  void (*on_open)(struct im_connector *connector, struct im_connection *connection);
  /* It ends before that. */
  void (*on_fail)(struct im_connector *connector, struct im_connection *connection);
};

struct im_asker {
  void (*on_open)(struct im_connector *connector, struct im_connection *connection);
  /* It has ended before that; `error` is 0 if it was closed for other reasons. */
  void (*on_fail)(struct im_connector *connector, struct im_connection *connection, int error);
};

union im_address {
  struct sockaddr any;
  struct sockaddr_in four;
  struct sockaddr_in6 six;
};

struct im_connection {
  struct im_connection *next, *previous; /* all of them, the newest first */
  struct im_connection *pool_next;       /* of those that are ready */
  struct im_connection *signal_next;     /* of those whose listener has been signalled */
  struct im_opening what;
  const struct im_stage *stage;
  const struct im_use *use;
  const struct im_asker *asker; /* NULL: nobody, or it has been answered */
  void *asked;                  /* the asker's: a batch, or a call */
  void (*on_met)(struct im_connector *connector, struct im_connection *connection); /* meeting.c has its socket */
  int fd, signal;
  struct im_source of_fd, of_signal;
  struct im_timer timer;
  int64_t deadline;
  bool chosen;                          /* its port here was agreed on */
  uint16_t signal_port, signalled_port; /* whose listener's, as it is bound: one port may lead to several listeners */
  uint8_t sent, got;
  uint8_t header[IM_SECRET_MOST + IM_PORTS_SIZE];
  uint16_t tries;
  uint64_t confirmed; /* bytes that the other side has acknowledged when it has the header */
};

struct im_pool {
  struct im_pool *next;
  uint32_t peer;
  uint32_t count, low;
  uint32_t coming, waiting;    /* connections that are being made; guests that wait for one, never more */
  struct im_connection *first; /* the newest */
  struct im_waiter *waiters;   /* the oldest */
  /* Set by those that wait: a connection is ready, or fewer are being made. */
  void (*on_change)(struct im_connector *connector, struct im_pool *pool);
};

/* Many openings that differ in their ports and secrets only; see fill.c. */
struct im_batch {
  struct im_batch *next; /* has some that are not begun */
  struct im_opening what;
  const struct im_use *use;
  uint32_t count, begun, left, good;
  bool over; /* given up: no more are begun */
  struct im_pair pairs[];
};

#define IM_KEEP_ALIVE_TIMES 3

struct im_connector {
  struct im_reactor reactor; /* its lock is the connector's */
  pthread_t filler;
  pthread_cond_t more; /* of `batches` */
  int references;      /* atomic: of JavaScript and of shim sockets */
  bool filling, stopping;
  uint32_t share;                      /* descriptors that other members may have here; see share.c */
  uint32_t alias_base;                 /* a member's loopback alias is alias_base | (virtual & 0xffff) */
  int keep_alive[IM_KEEP_ALIVE_TIMES]; /* of a new socket: idle, interval, count; 0: could not be read */
  struct im_connection *all;
  struct im_batch *batches;   /* not begun, the oldest first */
  struct im_batch *beginning; /* of which one is being begun just now, without the lock */
  struct im_pool *pools;
  struct im_signalling *channels;
  uint32_t calls;
  uint32_t close_by; /* a peer is near up to this round trip, in microseconds; see `signalling_call` */
  uint32_t soon;     /* milliseconds until a guest of a near peer hears that its connection is not there yet */
  struct im_meeting_point *meeting_points;
  struct im_connection *signalled[IM_BUCKETS];
  struct im_listener *listeners;
  size_t listeners_count;
  struct im_place *places;
  size_t places_count, turn;
  void (*report)(void *context, enum im_event event, uint32_t subject, int32_t detail);
  void *context;
};

/* ---- connection.c ---- */

static inline struct sockaddr_in connection_address(uint32_t ip, uint16_t port) {
  return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(ip)};
}
/* A connection's structure, in no list yet. Any thread. NULL: no memory. */
struct im_connection *connection_make(const struct im_opening *what, const struct im_use *use);
/* Closes a socket with a reset, so that it holds no port; negative: nothing. Any thread. */
void connection_reset(int fd);
/* Ends one that is in no list; NULL: nothing. Any thread. */
void connection_discard(struct im_connection *connection);
/* Adds it to the list. Its time begins; `connection_at` or `opening_start` follows. */
void connection_add(struct im_connector *connector, struct im_connection *connection, const struct im_asker *asker,
                    void *asked);
/* Watches its socket. False: there is no memory for it, and the connection ends in a moment. */
bool connection_watch(struct im_connector *connector, struct im_connection *connection);
/* Its stage's `on_time` is called then, once, or `on_late` at the deadline if that is earlier. */
void connection_at(struct im_connector *connector, struct im_connection *connection, int64_t moment);
/* Sets the deadline, and no other moment. */
void connection_until(struct im_connector *connector, struct im_connection *connection, int64_t deadline);
/* Takes it out of all lists and closes its sockets, with a reset, so that no port is held. */
void connection_close(struct im_connector *connector, struct im_connection *connection);
/* The same: its opening has failed. */
void connection_fail(struct im_connector *connector, struct im_connection *connection, int error);
/* Takes it out of all lists. The caller owns its connected socket. */
void connection_let_go(struct im_connector *connector, struct im_connection *connection);

/* ---- opening.c ---- */

/* Connects: takes as long as the kernel takes to send. Any thread, without the lock. 0, or an errno. */
int opening_connect(struct im_connection *connection);
/* Its two halves: a socket, and a SYN. */
int opening_prepare(struct im_connection *connection);
int opening_go(const struct im_connection *connection);
/* Goes on with the result of `opening_connect`. An errno: it has failed. */
int opening_start(struct im_connector *connector, struct im_connection *connection, int error);
/* The other side has proved itself elsewhere: its first bytes are not waited for. */
void opening_proved(struct im_connector *connector, struct im_connection *connection);
/* A connection that is kept unused is found out when the NAT has forgotten it. `ours`: no guest gets it later. */
void opening_keep_alive(int fd, bool ours);
/* Undoes it: a guest gets the connection, and has options of its own. */
void opening_for_guest(const struct im_connector *connector, int fd);
/* What a new socket of this machine has. */
void opening_read_defaults(struct im_connector *connector);

/* ---- meeting.c ---- */

/*
 * The connection waits for the other side's connect, with those that wait at the same port; `error` is its own
 * listener's. `on_met` is called with the socket. 0, or an errno: then it has what it had.
 */
int meeting_wait(struct im_connector *connector, struct im_connection *connection, int error);

/* ---- share.c ---- */

/* Descriptors of this process that other members may have. */
uint32_t share_total(void);
/* Whether that peer may have `count` more; always for what this side has asked for. */
bool share_allows(const struct im_connector *connector, const struct im_opening *what, uint32_t count);

/* ---- reply.c ---- */

/* Answers a shim with a connection; closes `reply_to`. False: the shim is gone. */
bool reply_connected(int reply_to, int fd, uint16_t port, const struct im_opening *what);
/* Answers it with an errno; closes `reply_to`. */
void reply_failed(int reply_to, int error);
/* Answers IM_FLAG_READY: there is none at once. */
void reply_not_yet(int reply_to);
/* The guest has given up. A connection for it would only open and close one at the peer. */
bool reply_unwanted(int reply_to);
/* For the guest that waits at `reply_to`. */
extern const struct im_use reply_use;

/* ---- deliver.c ---- */

/* Signals the listener. */
void deliver_start(struct im_connector *connector, struct im_connection *connection);
/* The one that a signal from that peer's loopback alias and port to that port of a listener stands for. */
struct im_connection *deliver_find(struct im_connector *connector, uint32_t peer, uint16_t signal_port,
                                   uint16_t signalled_port);
extern const struct im_use deliver_use;

/* ---- pool.c ---- */

/* NULL: there is none, or there is no memory for one. */
struct im_pool *pool_of(struct im_connector *connector, uint32_t peer, bool make);
/* `count` are to be made. False: there is no memory for their pool. */
bool pool_expect(struct im_connector *connector, const struct im_opening *what, uint32_t count);
/* One of them is ready, or has failed. */
void pool_unexpect(struct im_connector *connector, const struct im_opening *what);
/* Reports when it is time for more. */
void pool_low(struct im_connector *connector, const struct im_pool *pool);
/* Takes one out and sends its header; NULL: none is ready. The caller sets its next stage, or lets it go. */
struct im_connection *pool_take(struct im_connector *connector, uint32_t peer, uint16_t port, uint16_t source_port);
/* Closes what is ready for that peer. */
void pool_drop(struct im_connector *connector, uint32_t peer);
extern const struct im_use pool_out, pool_in;

/* ---- confirm.c ---- */

/* Gives a ready connection to a guest; `reply_to` is closed. False: there is none. */
bool confirm_give(struct im_connector *connector, const struct im_request *request, int reply_to);

/* ---- fill.c ---- */

/* As `connector_fill`; without an id nothing is reported. */
int fill_begin(struct im_connector *connector, const struct im_opening *what, const struct im_use *use,
               const struct im_pair *pairs, size_t count);
/* Gives up the openings of batches, of that id or peer (0: any), that are not begun. False: there are none. */
bool fill_give_up(struct im_connector *connector, uint32_t id, uint32_t peer);
/* Ends its thread. Without the lock. */
void fill_stop(struct im_connector *connector);

/* ---- service.c ---- */

/* Where a connect to that port of a service goes; NULL: nowhere that is known to have room. */
struct im_place *service_choose(struct im_connector *connector, uint32_t service, uint16_t port);

/* ---- wait.c ---- */

/* False: nothing that it could wait for. */
bool wait_begin(struct im_connector *connector, struct im_pool *pool, const struct im_request *request, int reply_to,
                const struct im_requester *requester);
void wait_withdraw(struct im_connector *connector, const void *context);

/* ---- signalling.c ---- */

/* True: the guest is being connected, or given back later. `ready`: IM_FLAG_READY is answered, if that takes longer. */
bool signalling_call(struct im_connector *connector, const struct im_request *request, int reply_to,
                     const struct im_requester *requester, bool ready);
/* `count` for the pool. As `connector_call`. */
int signalling_fill(struct im_connector *connector, uint32_t id, uint32_t peer, uint32_t count, uint32_t low);
/* Guests that are being connected. */
unsigned signalling_count(const struct im_connector *connector);
void signalling_withdraw(struct im_connector *connector, const void *context);
extern const struct im_use signalling_use;

#endif
