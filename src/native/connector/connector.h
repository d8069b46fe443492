/*
 * Connections that the supervisor opens for guests and takes for them, where guests cannot connect to each other: two
 * threads, no policy. JavaScript says what to open and what it is for; from then on a connection of the pool costs
 * it nothing.
 *
 *   open.c      a connection is made: from a chosen port, with what each side has to say first
 *   fill.c      many at once, for the pool
 *   pool.c      ready connections, each waiting for its header on the other side
 *   wait.c      guests that wait for one that is being made ready
 *   signalling.c      what is made with the other side's connector, without JavaScript: for a guest at once, for the
 *                     pool
 *   share.c     how many of them other members may ask for
 *   confirm.c   one that a guest has been given from the pool: does the other side still hear it?
 *   deliver.c   one that arrived waits for a guest's accept, behind a signal connection to the listener
 *   loop.c      the thread that waits for all of them, the list of connections, time
 *   shim.c      what shims ask for, answered without JavaScript
 *   held.c      no connection: a datagram that waited for its host
 *
 * Everything is under the connector's lock. Not a word of Node.js here: src/native/addon/connector_binding.c is the
 * addon's side.
 */
#ifndef IMAGINARY_CONNECTOR_H
#define IMAGINARY_CONNECTOR_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IM_SECRET_MOST 36 /* a relay's token with its four bytes in front */
#define IM_PORTS_SIZE \
  4 /* behind the secret that a pooled connection begins with when it is used: to and from which port */
#define IM_PAIR_SECRET 16
#define IM_BUCKETS 256

/* What a connection is for; mirrored in src/native/addon/index.d.ts. */
enum im_purpose {
  IM_POOL_OUT = 0,       /* kept ready for guests of this host */
  IM_POOL_IN = 1,        /* kept ready by the other side */
  IM_GIVE = 2,           /* for the guest that waits at `reply_to` */
  IM_DELIVER = 3,        /* for the guest here that listens on `port` */
  IM_HAND = 4,           /* for JavaScript: IM_EVENT_OPENED's detail is the descriptor */
  IM_SIGNALLING_OUT = 5, /* stays here: for calls of this side, see channel.c */
  IM_SIGNALLING_IN = 6,
};

enum im_stage {
  IM_WAITING,    /* to be tried again */
  IM_HELD,       /* its SYN follows a moment after the call */
  IM_CONNECTING, /* the kernel's turn */
  IM_LISTENING,  /* the other side's turn; without a descriptor if another one listens at that port for both */
  IM_HELLO,      /* connected; what is said first is not complete */
  IM_READY,      /* POOL_OUT: can be taken */
  IM_HEADER,     /* POOL_IN: not used yet */
  IM_SIGNALLED,  /* a listener has been signalled, nobody has accepted yet */
  IM_GIVEN,      /* POOL_OUT: a guest has it, the other side has not acknowledged the header yet */
  IM_SIGNALLING,
};

/* Told to JavaScript; mirrored in src/native/addon/index.d.ts. */
enum im_event {
  IM_EVENT_OPENED = 0, /* by id: connected, the other side has proved itself; detail: tries, less one, or see IM_HAND */
  IM_EVENT_FAILED = 1, /* by id; detail: errno */
  IM_EVENT_USED = 2,   /* by peer: few are left in its pool */
  IM_EVENT_LOST = 3,   /* by peer: one of its pool ended unused */
  IM_EVENT_REFUSED = 4,          /* by peer; detail: the port, that nobody listens on */
  IM_EVENT_SILENT = 5,           /* by peer: it does not hear what its pool says, which has been dropped */
  IM_EVENT_FILLED = 6,           /* by id: none of them is under way any more; detail: how many were ready */
  IM_EVENT_SIGNALLING_ENDED = 7, /* by peer: there is no signalling channel to it any more */
  IM_EVENT_MISSED = 8, /* by peer: nothing was ready for guests, which have been connected over the channel; at times */
};

struct im_opening {
  uint32_t id; /* 0: JavaScript has not asked for it and is not told */
  enum im_purpose purpose;
  bool listens;  /* the other side connects to the chosen port: where nothing in between would keep both SYNs waiting */
  uint32_t peer; /* virtual address of the other side */
  uint64_t epoch; /* its epoch */
  uint32_t local; /* 0: any */
  uint16_t local_port;
  uint32_t remote;
  uint16_t remote_port;
  uint32_t timeout;           /* milliseconds until it must be open */
  uint32_t ttl;               /* milliseconds that it is kept unused */
  uint32_t low;               /* POOL_OUT: IM_EVENT_USED is told when no more than so many are left or on their way */
  uint16_t port, source_port; /* DELIVER; GIVE: the port that the guest has bound, or 0 */
  int reply_to;               /* GIVE: closed when it was answered, untouched when the opening failed */
  /*
   * What each side says first. In a pool the side that keeps it ready says it when it is used, in front of the ports.
   */
  uint8_t send[IM_SECRET_MOST], expect[IM_SECRET_MOST];
  uint8_t send_size, expect_size;
  /*
   * A signalling channel: what may be called from, and to; `send` and `expect` are the keys of what is said, and are
   * not said.
   */
  uint16_t own_first, own_count, their_first, their_count;
};

/* One of many that differ in this only. */
struct im_pair {
  uint16_t local_port, remote_port;
  uint8_t ours[IM_PAIR_SECRET], theirs[IM_PAIR_SECRET];
};

struct im_batch;
struct im_call;
struct im_signalling;

struct im_connection {
  struct im_connection *next, *previous; /* all of them */
  struct im_connection *pool_next;       /* READY */
  struct im_connection *signal_next;     /* SIGNALLED */
  struct im_opening what;
  enum im_stage stage;
  int fd, signal;
  bool chosen;                          /* its port here was agreed on */
  bool watched;                         /* fd: from when it connects until it goes on in other hands */
  uint16_t signal_port, signalled_port; /* whose listener's, as it is bound: one port may lead to several listeners */
  struct im_batch *batch;               /* NULL: alone, or told already */
  uint8_t sent, got;
  uint8_t header[IM_SECRET_MOST + IM_PORTS_SIZE];
  uint16_t tries;
  uint64_t confirmed;      /* GIVEN: bytes that it has acknowledged then */
  int64_t deadline, again; /* LISTENING: 0, or when accept is tried again */
  int64_t held_until;      /* HELD; nanoseconds */
  int64_t tell_by; /* GIVE: when its guest is told that it is not there yet; 0: it has not asked, or has been told */
  struct im_call *call; /* GIVE: for a guest that goes back if this fails; NULL: JavaScript has asked */
};

struct im_waiter;

struct im_pool {
  struct im_pool *next;
  uint32_t peer;
  uint32_t count, low;
  uint32_t coming, waiting;    /* connections that are being made; guests that wait for one, never more */
  struct im_connection *first; /* the newest */
  struct im_waiter *waiters;   /* the oldest */
};

struct im_listener {
  uint16_t port, real_port;
  uint32_t real;
};

struct im_connector {
  pthread_mutex_t lock;
  pthread_t thread, filler;
  pthread_cond_t more; /* of `batches` */
  int references;      /* under the lock of its own: of JavaScript and of shim sockets */
  bool running, filling, stopping;
  int wanted; /* shims that wait for the lock */
  int set, wake;
  int64_t sleeps_until; /* the thread, if nothing comes: nothing that is due later has to wake it */
  uint32_t share;       /* descriptors that other members may have here; see share.c */
  uint32_t alias_base;  /* the alias_base' first address: of a member it is alias_base | (virtual & 0xffff) */
  struct im_connection *all;
  struct im_connection *dead; /* closed in this round of events: freed after it */
  struct im_batch *batches;   /* not begun, the oldest first */
  struct im_batch *beginning; /* of which one is being begun just now, without the lock */
  struct im_pool *pools;
  struct im_signalling *channels;
  uint32_t calls;
  uint32_t close_by; /* a round trip of so many microseconds, or less; see `signalling_call` */
  uint32_t soon;     /* milliseconds; see `signalling_call` */
  int timer;
  int64_t alarm; /* of the timer, in nanoseconds; 0: none */
  struct im_connection *signalled[IM_BUCKETS];
  struct im_listener *listeners;
  size_t listeners_count;
  void (*tell)(void *context, enum im_event event, uint32_t subject,
               int32_t detail); /* from any thread, under the lock */
  void *context;
};

/* ---- for the addon, all taking the lock ---- */

/* NULL with errno. */
struct im_connector *connector_create(uint32_t alias_base, void (*tell)(void *, enum im_event, uint32_t, int32_t),
                                      void *context);
void connector_hold(struct im_connector *connector);
/* Frees it with the last reference. */
void connector_release(struct im_connector *connector);
/* Ends the thread and every connection. Nothing is told afterwards. */
void connector_stop(struct im_connector *connector);
/* 0, or an errno: then nothing is told about it. */
int connector_open(struct im_connector *connector, const struct im_opening *what);
/*
 * So many, for the pool; IM_EVENT_FILLED tells of all of them. Ports and secrets of `what` do not count. 0, or an
 * errno: then nothing is told.
 */
int connector_fill(struct im_connector *connector, const struct im_opening *what, const struct im_pair *pairs,
                   size_t count);
/*
 * The same, agreed on with the other side's connector over the signalling channel, 64 at most. ENOTCONN: there is no
 * signalling channel.
 */
int connector_call(struct im_connector *connector, uint32_t id, uint32_t peer, uint32_t count, uint32_t low);
/* Gives an opening (or what is left of many) up; nothing is told of one. False: it has ended, and that is told. */
bool connector_cancel(struct im_connector *connector, uint32_t id);
void connector_listeners(struct im_connector *connector, const struct im_listener *listeners, size_t count);
/* Closes what is kept ready with that peer (0: with all of them) in both directions. */
void connector_drop(struct im_connector *connector, uint32_t peer);
/*
 * Connections that have arrived and were not accepted yet; headers that have arrived are looked at first. And guests
 * that wait for a connection here.
 */
unsigned connector_arriving(struct im_connector *connector);
/* Kept ready for that peer, less the guests that wait for one; 0: kept ready for all of them. */
int connector_ready(struct im_connector *connector, uint32_t peer);

struct im_request;
/* Who asks for a guest: is given back what could not be answered in the end, from any thread, under the lock. */
struct im_requester {
  void (*late)(void *context, const struct im_request *request, int reply_to);
  void *context;
};
/*
 * True: answered, or will be; `reply_to` is the connector's. False: IM_FLAG_READY is gone, as that has been answered.
 */
bool connector_answer(struct im_connector *connector, struct im_request *request, int reply_to,
                      const struct im_requester *requester);
/* What waits for the asker with that context waits no longer. */
void connector_withdraw(struct im_connector *connector, const void *context);

/* ---- among its files, under the lock ---- */

int64_t connector_now(void);
/*
 * Every change is told once, whatever it is: no stage has to say what it waits for, but each has to look for what came
 * before it began.
 */
/* False: there is no memory for it, and the connection ends in a moment. */
bool connector_watch(struct im_connector *connector, struct im_connection *connection);
bool connector_watch_signal(struct im_connector *connector, struct im_connection *connection, uint32_t events);
void connector_unwatch(struct im_connector *connector, struct im_connection *connection);
/* Closes its sockets (a reset, so that no port is held) and takes it out of all lists. */
void connector_close(struct im_connector *connector, struct im_connection *connection);
/* The same, but its connected socket goes on in other hands. */
void connector_let_go(struct im_connector *connector, struct im_connection *connection);

/* As `connector_open`. */
int connector_begin(struct im_connector *connector, const struct im_opening *what, struct im_batch *batch);
/* As `connector_fill`; without an id nothing is told. */
int fill_begin(struct im_connector *connector, const struct im_opening *what, const struct im_pair *pairs,
               size_t count);
/* Adds how many of POOL_IN are still to be begun for that peer, and for all others. */
void fill_count(const struct im_connector *connector, uint32_t peer, uint32_t *own, uint32_t *others);
/* It is not under way any more. False: it was alone, and is to be told of by itself. */
bool fill_settled(struct im_connector *connector, struct im_connection *connection, bool good);
/* What is not begun of many, with that id or peer (0: any), never will be. False: there is none. */
bool fill_give_up(struct im_connector *connector, uint32_t id, uint32_t peer);
bool fill_is_over(const struct im_batch *batch);
/* Takes the lock. */
void fill_stop(struct im_connector *connector);
/* It could not be opened, and is closed. */
void connector_fail(struct im_connector *connector, struct im_connection *connection, int error);

/* Descriptors of this process that other members may have. */
uint32_t share_total(void);
/* Whether that peer may have so many more; always for what this side has asked for. */
bool share_allows(const struct im_connector *connector, const struct im_opening *what, uint32_t count);

/* The thread is to be awake then. */
void connector_hurry(struct im_connector *connector, int64_t moment);

/* It goes its way from now on; its time has begun. */
void connector_add(struct im_connector *connector, struct im_connection *connection);

/* The part that needs no lock: it takes as long as the kernel takes to send. 0, or an errno. */
int open_connect(struct im_connection *connection);
/* Its two halves: a socket, and a SYN. */
int open_prepare(struct im_connection *connection);
int open_go(const struct im_connection *connection);
/* The rest, with the result of `open_connect`. */
void open_start(struct im_connector *connector, struct im_connection *connection, int error);
/* Others wait at the same port: one of them has the listener now. */
bool open_bequeath(struct im_connector *connector, struct im_connection *connection);
/* It listens: whoever was agreed on has come, perhaps. */
void open_accept(struct im_connector *connector, struct im_connection *connection);
void open_event(struct im_connector *connector, struct im_connection *connection);

/* NULL: there is none, or there is no memory for one. */
struct im_pool *pool_of(struct im_connector *connector, uint32_t peer, bool make);
/* So many are to be made. False: there is no memory for their pool. */
bool pool_expect(struct im_connector *connector, const struct im_opening *what, uint32_t count);
/* One of them is ready, or has failed. */
void pool_unexpect(struct im_connector *connector, const struct im_opening *what);
void pool_add(struct im_connector *connector, struct im_connection *connection);
void pool_remove(struct im_connector *connector, struct im_connection *connection);
/* Tells when it is time for more. */
void pool_low(struct im_connector *connector, const struct im_pool *pool);
/* Sends the header; NULL: none is ready. The caller lets it go. */
struct im_connection *pool_take(struct im_connector *connector, uint32_t peer, uint16_t port, uint16_t source_port);
/* What is ready for that peer ends. */
void pool_drop(struct im_connector *connector, uint32_t peer);
/* It ends unused. */
void pool_lose(struct im_connector *connector, struct im_connection *connection);
/* Something has happened to one that is READY. */
void pool_check(struct im_connector *connector, struct im_connection *connection);
void pool_header_event(struct im_connector *connector, struct im_connection *connection);

/* True: its guest is being connected, or given back later. `ready`: it is told when that takes longer. */
bool signalling_call(struct im_connector *connector, const struct im_request *request, int reply_to,
                     const struct im_requester *requester, bool ready);
/* Its guest has been answered, or is gone. */
void signalling_answered(struct im_connector *connector, struct im_connection *connection);
/* It could not be connected in this way. */
void signalling_give_back(struct im_connection *connection);
/* Who was called there did not come. */
void signalling_unheard(struct im_connector *connector, uint32_t peer);
void signalling_withdraw(struct im_connector *connector, const void *context);
void signalling_start(struct im_connector *connector, struct im_connection *connection);
void signalling_event(struct im_connector *connector, struct im_connection *connection);
void signalling_forget(struct im_connector *connector, const struct im_connection *connection);
/* SYNs that were held are due. */
void signalling_alarm(struct im_connector *connector);

bool wait_gone(int reply_to);
/* False: nothing that it could wait for. */
bool wait_begin(struct im_connector *connector, struct im_pool *pool, const struct im_request *request, int reply_to,
                const struct im_requester *requester);
/* Something is ready. */
void wait_serve(struct im_connector *connector, struct im_pool *pool);
/* Less is on its way. */
void wait_less(struct im_pool *pool);
/* When the next one has waited too long. */
int64_t wait_time(struct im_connector *connector, int64_t now);
unsigned wait_count(const struct im_connector *connector);
void wait_withdraw(struct im_connector *connector, const void *context);

/* Bytes that the other side will have acknowledged when it has all that was sent so far; 0: it is over. */
uint64_t confirm_sent(const struct im_connection *connection);
void confirm_start(struct im_connector *connector, struct im_connection *connection);
/* True: others have been closed, too. */
bool confirm_check(struct im_connector *connector, struct im_connection *connection);

void deliver_start(struct im_connector *connector, struct im_connection *connection);
void deliver_push(struct im_connector *connector, struct im_connection *connection);
/* The one that a signal from that peer's loopback alias and port to that port of a listener stands for. */
struct im_connection *deliver_take(struct im_connector *connector, uint32_t peer, uint16_t signal_port,
                                   uint16_t signalled_port);
void deliver_forget(struct im_connector *connector, struct im_connection *connection);
/* The guest has accepted the signal and had no descriptor left for the connection. */
void deliver_again(struct im_connector *connector, struct im_connection *connection);

/* With a connection that stands already. False: there is none. */
bool shim_connect(struct im_connector *connector, const struct im_request *request, int reply_to);
/* Answers IM_FLAG_READY: there is none at once. */
void shim_not_yet(int reply_to);
/* Answers a shim with a connection; closes `reply_to`. False: the shim is gone. */
bool shim_give(int reply_to, int fd, uint16_t port, uint64_t epoch);

struct sockaddr_in connector_address(uint32_t ip, uint16_t port);

#endif
