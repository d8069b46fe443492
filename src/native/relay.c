#define _GNU_SOURCE
#include "relay.h"
#include "splice.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WORD 4 /* what a client begins with */
#define MOST_FRESH 1024
#define MOST_PROBES 1024
/* Probes that one address may make: so many at once, so many a second. Hundreds of members may share one. */
#define PROBE_BURST 4096
#define PROBE_RATE 256
#define ADDRESSES 1024
#define ACCEPT_SHARE 64
#define ACCEPT_PAUSE 100 /* after the descriptors ran out */
#define REJECTED_PAUSE 1000 /* between two events about rejected ones */
/* A pair with one direction at its end is broken off when the other one moved nothing for so many sweeps. */
#define SWEEP 60000
#define HALF_CLOSED_SWEEPS 15
/* A peer that is gone without a word is found by keep-alive, after 60 + 10 * 60 seconds: a host may be suspended. */
#define KEEP_ALIVE 60
#define KEEP_ALIVE_PROBES 10
/* Of what was taken from the one side, so much waits unsent at the other: the rest waits where it came from. */
#define UNSENT (256 * 1024)

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

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void tell(struct relay *relay, const struct relay_event *event) {
  relay->options.on_event(relay->options.context, event);
}

static void tell_rejected(struct relay *relay, int64_t now) {
  if (relay->rejected == 0 || now - relay->rejected_told < REJECTED_PAUSE) return;
  relay->last_rejected.count = relay->rejected;
  relay->rejected = 0;
  relay->rejected_told = now;
  tell(relay, &relay->last_rejected);
}

/* --- queues ------------------------------------------------------------------------------------------------------- */

static void enqueue(struct queue *queue, struct connection *connection, int64_t deadline) {
  connection->deadline = deadline;
  connection->earlier = queue->last;
  connection->later = NULL;
  if (queue->last) queue->last->later = connection;
  else queue->first = connection;
  queue->last = connection;
  queue->count++;
}

static void dequeue(struct queue *queue, struct connection *connection) {
  if (connection->earlier) connection->earlier->later = connection->later;
  else queue->first = connection->later;
  if (connection->later) connection->later->earlier = connection->earlier;
  else queue->last = connection->earlier;
  connection->earlier = connection->later = NULL;
  queue->count--;
}

/* The structure stays until the events that were fetched together have been looked at. */
static void bury(struct relay *relay, struct connection *connection) {
  connection->state = DEAD;
  connection->later = relay->dead;
  relay->dead = connection;
}

static void free_dead(struct relay *relay) {
  while (relay->dead) {
    struct connection *next = relay->dead->later;
    free(relay->dead);
    relay->dead = next;
  }
}

/* Closes one that has not become part of a pair: with a reset, see set_options. */
static void drop(struct relay *relay, struct connection *connection) {
  if (connection->state == FRESH) dequeue(&relay->fresh, connection);
  if (connection->state == PROBED) dequeue(&relay->probes, connection);
  close(connection->fd);
  bury(relay, connection);
}

static void reject(struct relay *relay, struct connection *connection, const char *reason) {
  relay->rejected++;
  relay->last_rejected =
      (struct relay_event){.kind = RELAY_REJECTED, .address = connection->address, .reason = reason};
  drop(relay, connection);
}

/* --- pairs -------------------------------------------------------------------------------------------------------- */

static void queue_pair(struct relay *relay, struct relayed *relayed) {
  if (relayed->queued) return;
  relayed->queued = true;
  relayed->next_queued = NULL;
  if (relay->last_queued) relay->last_queued->next_queued = relayed;
  else relay->first_queued = relayed;
  relay->last_queued = relayed;
}

static void end_pair(struct relay *relay, struct relayed *relayed, int error) {
  pair_close(&relayed->pair, &relay->pipes, error == 0);
  for (int i = 0; i < 2; i++) bury(relay, relayed->sides[i]);
  if (relayed->earlier) relayed->earlier->later = relayed->later;
  else relay->relayed = relayed->later;
  if (relayed->later) relayed->later->earlier = relayed->earlier;
  atomic_fetch_sub(&relay->pairs, 1);
  struct relay_event event = {.kind = RELAY_ENDED,
                              .id = relayed->id,
                              .bytes = {relayed->pair.flows[0].bytes, relayed->pair.flows[1].bytes},
                              .error = error};
  free(relayed);
  tell(relay, &event);
}

static int error_of(const struct relayed *relayed) {
  for (int i = 0; i < 2; i++) {
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(relayed->pair.fds[i], SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error != 0) return error;
  }
  return 0;
}

/* One turn for each pair that had something to do when this was called. */
static void run_queued(struct relay *relay) {
  struct relayed *next = relay->first_queued;
  relay->first_queued = relay->last_queued = NULL;
  while (next) {
    struct relayed *relayed = next;
    next = relayed->next_queued;
    relayed->queued = false;
    int error = 0;
    enum progress progress = pair_move(&relayed->pair, &relay->pipes, &error);
    if (progress == PAIR_GOES_ON) {
      queue_pair(relay, relayed);
    } else if (progress == PAIR_ENDED) {
      end_pair(relay, relayed, 0);
    } else {
      if (progress == PAIR_WAITS) error = relayed->broken ? relayed->broken : relayed->troubled ? error_of(relayed) : 0;
      relayed->troubled = false;
      if (error != 0) end_pair(relay, relayed, error);
    }
  }
}

/* Breaks off what is half closed and moves nothing. */
static void sweep(struct relay *relay) {
  for (struct relayed *relayed = relay->relayed; relayed; relayed = relayed->later) {
    const struct flow *flows = relayed->pair.flows;
    uint64_t bytes = flows[0].bytes + flows[1].bytes;
    bool quiet = (flows[0].eof || flows[1].eof) && bytes == relayed->bytes_at_sweep;
    relayed->bytes_at_sweep = bytes;
    relayed->quiet_sweeps = quiet ? relayed->quiet_sweeps + 1 : 0;
    if (relayed->quiet_sweeps < HALF_CLOSED_SWEEPS) continue;
    relayed->broken = ETIMEDOUT;
    queue_pair(relay, relayed);
  }
}

/* --- connections that have to say what they are ------------------------------------------------------------------- */

static bool may_probe(struct relay *relay, uint32_t address, int64_t now) {
  struct bucket *bucket = &relay->buckets[(address * 2654435761u) >> 22];
  bucket->tokens += (double)(now - bucket->last) * PROBE_RATE / 1000;
  bucket->last = now;
  if (bucket->tokens > PROBE_BURST) bucket->tokens = PROBE_BURST;
  if (bucket->tokens < 1) return false;
  bucket->tokens -= 1;
  return true;
}

static void answer_probe(struct relay *relay, struct connection *connection, int64_t now) {
  if (!may_probe(relay, connection->address, now)) {
    reject(relay, connection, "too many probes");
    return;
  }
  unsigned char answer[6];
  uint32_t address = htonl(connection->address);
  uint16_t port = htons(connection->port);
  memcpy(answer, &address, sizeof address);
  memcpy(answer + sizeof address, &port, sizeof port);
  if (send(connection->fd, answer, sizeof answer, MSG_NOSIGNAL | MSG_DONTWAIT) != sizeof answer) {
    drop(relay, connection);
    return;
  }
  dequeue(&relay->fresh, connection);
  if (relay->probes.count >= MOST_PROBES) drop(relay, relay->probes.first);
  connection->state = PROBED;
  enqueue(&relay->probes, connection, now + relay->options.probe_limit);
}

/* One side has come, and leaves before the other is there. */
static void abandon(struct relay *relay, struct connection *connection) {
  struct expectation *expectation = connection->expectation;
  tokens_remove(&relay->tokens, expectation);
  struct relay_event event = {.kind = RELAY_UNUSED, .id = expectation->id, .arrived = 1};
  free(expectation);
  drop(relay, connection);
  tell(relay, &event);
}

static void join(struct relay *relay, struct expectation *expectation, struct connection *sides[2]) {
  struct relayed *relayed = calloc(1, sizeof *relayed);
  uint32_t id = expectation->id;
  atomic_fetch_add(&relay->pairs, 1);
  tokens_remove(&relay->tokens, expectation);
  free(expectation);
  if (!relayed) {
    atomic_fetch_sub(&relay->pairs, 1);
    for (int i = 0; i < 2; i++) reject(relay, sides[i], "no memory");
    return;
  }
  pair_init(&relayed->pair, sides[0]->fd, sides[1]->fd);
  relayed->id = id;
  relayed->later = relay->relayed;
  if (relay->relayed) relay->relayed->earlier = relayed;
  relay->relayed = relayed;
  struct relay_event event = {.kind = RELAY_PAIRED, .id = id};
  tell(relay, &event);
  for (int i = 0; i < 2; i++) {
    sides[i]->state = RELAYED;
    sides[i]->relayed = relayed;
    relayed->sides[i] = sides[i];
    /* Nothing was sent to it before, so there is room, unless it is gone: then the pair has that error. */
    if (send(sides[i]->fd, "\1", 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1) relayed->broken = errno;
  }
  /* What came behind a token has made its event already. */
  queue_pair(relay, relayed);
}

static void use_token(struct relay *relay, struct connection *connection) {
  const unsigned char *bytes = connection->header + WORD;
  struct expectation *expectation = token_use(&relay->tokens, bytes);
  if (!expectation) {
    reject(relay, connection, "a token that is not expected");
    return;
  }
  dequeue(&relay->fresh, connection);
  connection->state = WAITING;
  connection->expectation = expectation;
  struct connection *other = expectation->arrived;
  if (!other) {
    expectation->arrived = connection;
    return;
  }
  bool second = memcmp(expectation->tokens[1].bytes, bytes, TOKEN_BYTES) == 0;
  struct connection *sides[2] = {second ? other : connection, second ? connection : other};
  join(relay, expectation, sides);
}

/* Reads no byte behind the header: that is for the other side. */
static void read_header(struct relay *relay, struct connection *connection, int64_t now) {
  for (;;) {
    size_t wanted = connection->got < WORD ? WORD : sizeof connection->header;
    ssize_t got = recv(connection->fd, connection->header + connection->got, wanted - connection->got, MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) { /* one that comes and goes (a port scan, a health check) is not worth an event */
      if (connection->got > 0) reject(relay, connection, "left without saying what it wants");
      else drop(relay, connection);
      return;
    }
    connection->got += (size_t)got;
    if (connection->got == WORD && memcmp(connection->header, "IMP1", WORD) == 0) {
      answer_probe(relay, connection, now);
      return;
    }
    if (connection->got == sizeof connection->header) {
      use_token(relay, connection);
      return;
    }
    if (connection->got >= WORD && memcmp(connection->header, "IMR1", WORD) != 0) {
      reject(relay, connection, "begins with something else than IMP1 or IMR1");
      return;
    }
  }
}

static void accept_one(struct relay *relay, int fd, const struct sockaddr_in *from, int64_t now) {
  struct connection *connection = calloc(1, sizeof *connection);
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = connection};
  if (!connection || epoll_ctl(relay->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
    close(fd);
    free(connection);
    return;
  }
  connection->fd = fd;
  connection->address = ntohl(from->sin_addr.s_addr);
  connection->port = ntohs(from->sin_port);
  /* Whoever means it says what it wants at once: a flood of others costs them their time, not the rest their place. */
  if (relay->fresh.count >= MOST_FRESH) reject(relay, relay->fresh.first, "too many that have not said what they want");
  enqueue(&relay->fresh, connection, now + relay->options.header_limit);
  read_header(relay, connection, now);
}

static void listen_again(struct relay *relay, bool again) {
  struct epoll_event event = {.events = again ? EPOLLIN : 0, .data.ptr = &relay->listener};
  epoll_ctl(relay->epoll, EPOLL_CTL_MOD, relay->listener, &event);
}

static void accept_some(struct relay *relay, int64_t now) {
  for (int i = 0; i < ACCEPT_SHARE; i++) {
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    int fd = accept4(relay->listener, (struct sockaddr *)&from, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
      accept_one(relay, fd, &from, now);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      relay->accept_again = now + ACCEPT_PAUSE;
      listen_again(relay, false);
      return;
    } else if (errno == EAGAIN) {
      return;
    }
  }
}

/* --- the thread --------------------------------------------------------------------------------------------------- */

static void on_event(struct relay *relay, struct connection *connection, uint32_t events, int64_t now) {
  bool gone = events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
  switch (connection->state) {
    case FRESH: read_header(relay, connection, now); return;
    case PROBED:
      if (gone) { /* it has what it came for */
        struct linger none = {.l_onoff = 0};
        setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
        drop(relay, connection);
      }
      return;
    case WAITING:
      if (gone) abandon(relay, connection);
      return;
    case RELAYED:
      if (events & EPOLLERR) connection->relayed->troubled = true;
      queue_pair(relay, connection->relayed);
      return;
    case DEAD: return;
  }
}

static void expire(struct relay *relay, int64_t now) {
  while (relay->fresh.first && relay->fresh.first->deadline <= now) {
    reject(relay, relay->fresh.first, "did not say what it wants in time");
  }
  while (relay->probes.first && relay->probes.first->deadline <= now) drop(relay, relay->probes.first);
  for (struct expectation *due; (due = tokens_due(&relay->tokens, now));) {
    struct relay_event event = {.kind = RELAY_UNUSED, .id = due->id, .arrived = due->arrived ? 1 : 0};
    if (due->arrived) drop(relay, due->arrived);
    free(due);
    tell(relay, &event);
  }
  if (relay->accept_again && relay->accept_again <= now) {
    relay->accept_again = 0;
    listen_again(relay, true);
  }
  if (relay->next_sweep <= now) {
    relay->next_sweep = now + SWEEP;
    sweep(relay);
  }
  tell_rejected(relay, now);
}

static int time_to_wait(struct relay *relay, int64_t now) {
  if (relay->first_queued) return 0;
  int64_t next = INT64_MAX, due;
  if (relay->fresh.first) next = relay->fresh.first->deadline;
  if (relay->probes.first && relay->probes.first->deadline < next) next = relay->probes.first->deadline;
  tokens_count(&relay->tokens, &due);
  if (due >= 0 && due < next) next = due;
  if (relay->relayed && relay->next_sweep < next) next = relay->next_sweep;
  if (relay->accept_again && relay->accept_again < next) next = relay->accept_again;
  if (relay->rejected && relay->rejected_told + REJECTED_PAUSE < next) next = relay->rejected_told + REJECTED_PAUSE;
  if (next == INT64_MAX) return -1;
  return next <= now ? 0 : (int)(next - now < 60000 ? next - now : 60000);
}

static void *run(void *data) {
  struct relay *relay = data;
  struct epoll_event events[128];
  while (!atomic_load(&relay->stopping)) {
    int count = epoll_wait(relay->epoll, events, 128, time_to_wait(relay, now_ms()));
    int64_t now = now_ms();
    for (int i = 0; i < count; i++) {
      void *what = events[i].data.ptr;
      if (what == &relay->wake) {
        uint64_t woken;
        ssize_t got = read(relay->wake, &woken, sizeof woken);
        (void)got;
      } else if (what == &relay->listener) {
        accept_some(relay, now);
      } else {
        on_event(relay, what, events[i].events, now);
      }
    }
    run_queued(relay);
    expire(relay, now);
    free_dead(relay);
  }
  return NULL;
}

/* --- opening and closing ------------------------------------------------------------------------------------------ */

/* Accepted sockets inherit these. A reset is what a relay's end is to both sides, also when the process is killed: an end in good
 * order would pass for the other side's. */
static bool set_options(int fd) {
  int one = 1, idle = KEEP_ALIVE, probes = KEEP_ALIVE_PROBES, unsent = UNSENT;
  struct linger reset = {.l_onoff = 1, .l_linger = 0};
  return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
         setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset) == 0 &&
         setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one) == 0 &&
         setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle) == 0 &&
         setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &idle, sizeof idle) == 0 &&
         setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes) == 0 &&
         setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0 &&
         setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent) == 0;
}

static int listen_on(struct relay *relay, uint16_t *port, const char **syscall) {
  struct sockaddr_in address = relay->options.address;
  socklen_t length = sizeof address;
  struct epoll_event listening = {.events = EPOLLIN, .data.ptr = &relay->listener};
  struct epoll_event waking = {.events = EPOLLIN, .data.ptr = &relay->wake};
  *syscall = "socket";
  relay->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (relay->listener < 0) return errno;
  *syscall = "setsockopt";
  if (!set_options(relay->listener)) return errno;
  *syscall = "bind";
  if (bind(relay->listener, (struct sockaddr *)&address, length) != 0) return errno;
  *syscall = "listen";
  if (listen(relay->listener, 1024) != 0) return errno;
  if (getsockname(relay->listener, (struct sockaddr *)&address, &length) != 0) return errno;
  *port = ntohs(address.sin_port);
  *syscall = "epoll_create1";
  relay->epoll = epoll_create1(EPOLL_CLOEXEC);
  if (relay->epoll < 0) return errno;
  *syscall = "eventfd";
  relay->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (relay->wake < 0) return errno;
  *syscall = "epoll_ctl";
  if (epoll_ctl(relay->epoll, EPOLL_CTL_ADD, relay->listener, &listening) != 0) return errno;
  if (epoll_ctl(relay->epoll, EPOLL_CTL_ADD, relay->wake, &waking) != 0) return errno;
  return 0;
}

static int start_thread(struct relay *relay) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before); /* also SIGPIPE, which splice(2) cannot be kept from */
  int error = pthread_create(&relay->thread, NULL, run, relay);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return error;
}

static void wake(struct relay *relay) {
  uint64_t one = 1;
  ssize_t written = write(relay->wake, &one, sizeof one);
  (void)written; /* only fails when the counter is full, that is, when it is awake already */
}

static void free_relay(struct relay *relay) {
  if (relay->listener >= 0) close(relay->listener);
  if (relay->epoll >= 0) close(relay->epoll);
  if (relay->wake >= 0) close(relay->wake);
  tokens_free(&relay->tokens);
  free(relay);
}

int relay_open(const struct relay_options *options, struct relay **result, uint16_t *port, const char **syscall) {
  struct relay *relay = calloc(1, sizeof *relay);
  *syscall = "malloc";
  if (!relay) return ENOMEM;
  relay->options = *options;
  relay->listener = relay->epoll = relay->wake = -1;
  relay->next_sweep = now_ms() + SWEEP;
  relay->rejected_told = now_ms() - REJECTED_PAUSE;
  for (size_t i = 0; i < ADDRESSES; i++) relay->buckets[i].tokens = PROBE_BURST;
  tokens_init(&relay->tokens);
  int error = listen_on(relay, port, syscall);
  if (error == 0) {
    *syscall = "pthread_create";
    error = start_thread(relay);
  }
  if (error != 0) free_relay(relay);
  else *result = relay;
  return error;
}

bool relay_expect(struct relay *relay, const unsigned char a[TOKEN_BYTES], const unsigned char b[TOKEN_BYTES], uint32_t id) {
  if (tokens_count(&relay->tokens, NULL) + atomic_load(&relay->pairs) >= relay->options.most_pairs) return false;
  bool first = false;
  if (!tokens_expect(&relay->tokens, a, b, id, now_ms() + relay->options.pair_limit, &first)) return false;
  if (first) wake(relay); /* it has a deadline to keep now */
  return true;
}

void relay_close(struct relay *relay) {
  atomic_store(&relay->stopping, true);
  wake(relay);
  pthread_join(relay->thread, NULL);
  while (relay->fresh.first) drop(relay, relay->fresh.first);
  while (relay->probes.first) drop(relay, relay->probes.first);
  for (struct expectation *e; (e = tokens_due(&relay->tokens, INT64_MAX));) {
    if (e->arrived) drop(relay, e->arrived);
    free(e);
  }
  while (relay->relayed) {
    struct relayed *relayed = relay->relayed;
    relay->relayed = relayed->later;
    pair_close(&relayed->pair, &relay->pipes, false);
    for (int i = 0; i < 2; i++) bury(relay, relayed->sides[i]);
    free(relayed);
  }
  free_dead(relay);
  pipes_close(&relay->pipes);
  free_relay(relay);
}
