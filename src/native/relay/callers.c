#define _GNU_SOURCE
#include "parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPT_SHARE 16 /* in one go: others have their turn in between */
#define ACCEPT_PAUSE (100 * IM_MS)
#define SLOT_BITS 12
#define MOST_CALLERS (1u << SLOT_BITS)
#define RECORD_HEADER 5
#define HANDSHAKE 22

/* ---- slots ---- */

struct im_arrival *callers_find(const struct im_relay *relay, uint32_t caller) {
  struct im_arrival *arrival = relay->callers ? relay->callers[caller % MOST_CALLERS] : NULL;
  return arrival && arrival->caller == caller ? arrival : NULL;
}

/* A number that was given back is used again only after a million others. */
static bool give_number(struct im_relay *relay, struct im_arrival *arrival) {
  for (uint32_t i = 0; i < MOST_CALLERS; i++) {
    relay->last_caller++;
    if (relay->last_caller == 0 || relay->callers[relay->last_caller % MOST_CALLERS]) continue;
    arrival->caller = relay->last_caller;
    relay->callers[arrival->caller % MOST_CALLERS] = arrival;
    relay->callers_count++;
    return true;
  }
  return false;
}

void callers_forget(struct im_relay *relay, struct im_arrival *arrival) {
  if (!arrival->caller) return;
  relay->callers[arrival->caller % MOST_CALLERS] = NULL;
  relay->callers_count--;
  arrival->caller = 0;
}

/* ---- a caller that waits ---- */

static void drop(struct im_relay *relay, struct im_arrival *arrival) {
  callers_forget(relay, arrival);
  queue_drop(relay, arrival);
}

static void gone(struct im_relay *relay, struct im_arrival *arrival) {
  struct im_relay_event event = {.kind = IM_RELAY_CALLER_GONE, .id = arrival->caller};
  drop(relay, arrival);
  relay_report(relay, &event);
}

/*
 * A client that has sent something may end its own direction and still wait for an answer. One that has sent nothing
 * has left.
 */
static bool has_left(const struct im_arrival *arrival, uint32_t events) {
  char byte;
  if (events & (EPOLLHUP | EPOLLERR)) return true;
  return events & EPOLLRDHUP && recv(arrival->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void on_waiting_event(void *context, void *owner, uint32_t events) {
  if (has_left(owner, events)) gone(context, owner);
}

static void waits(struct im_arrival *arrival) {
  arrival->source.on_event = on_waiting_event;
  arrival->expectation = NULL;
}

void callers_return(struct im_arrival *arrival) { waits(arrival); }

/* ---- its first TLS record ---- */

/* True: there is no more to wait for. */
static bool look_at_hello(struct im_relay *relay, struct im_arrival *arrival) {
  ssize_t got = recv(arrival->fd, relay->hello, sizeof relay->hello, MSG_PEEK | MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (got > 0 && relay->hello[0] == HANDSHAKE) {
    if (got < RECORD_HEADER) return false;
    size_t size = RECORD_HEADER + (size_t)(relay->hello[3] << 8 | relay->hello[4]);
    if (size <= sizeof relay->hello && (size_t)got < size) return false;
    got = size <= sizeof relay->hello ? (ssize_t)size : 0;
  } else {
    got = 0;
  }
  struct im_relay_event event = {.kind = IM_RELAY_CALLER_HELLO, .id = arrival->caller};
  event.hello = got > 0 ? malloc((size_t)got) : NULL;
  event.hello_size = event.hello ? (size_t)got : 0;
  if (event.hello) memcpy(event.hello, relay->hello, event.hello_size);
  reactor_clear(&relay->reactor, &arrival->timer);
  waits(arrival);
  relay_report(relay, &event);
  return true;
}

static void on_hello_event(void *context, void *owner, uint32_t events) {
  struct im_arrival *arrival = owner;
  if (events & (EPOLLHUP | EPOLLERR)) return gone(context, arrival);
  if (!look_at_hello(context, arrival) && events & EPOLLRDHUP) gone(context, arrival);
}

static void on_hello_time(void *context, void *owner) { gone(context, owner); }

bool relay_hear(struct im_relay *relay, uint32_t caller) {
  reactor_lock(&relay->reactor);
  struct im_arrival *arrival = callers_find(relay, caller);
  if (arrival && !arrival->expectation) {
    arrival->source.on_event = on_hello_event;
    arrival->timer = (struct im_timer){.on_time = on_hello_time, .owner = arrival};
    reactor_set(&relay->reactor, &arrival->timer, clock_now() + relay->options.header_limit * IM_MS);
    look_at_hello(relay, arrival);
  }
  reactor_unlock(&relay->reactor);
  if (arrival) reactor_wake(&relay->reactor);
  return arrival != NULL;
}

/* ---- new ones ---- */

/* NULL: there is no memory; the socket is closed. */
static struct im_arrival *new_arrival(int fd, uint32_t address, uint16_t port) {
  struct im_arrival *arrival = calloc(1, sizeof *arrival);
  if (arrival)
    *arrival = (struct im_arrival){.fd = fd, .address = address, .port = port, .source = {.owner = arrival}};
  else
    close(fd);
  return arrival;
}

/* It waits. False: there is no room; it is reset. */
static bool add(struct im_relay *relay, struct im_arrival *arrival) {
  bool room = relay->callers_count < relay->most_callers && give_number(relay, arrival);
  waits(arrival);
  if (room && reactor_watch(&relay->reactor, &arrival->source, arrival->fd, IM_WATCHED)) return true;
  drop(relay, arrival);
  return false;
}

struct im_arrival *callers_add(struct im_relay *relay, int fd, uint32_t address, uint16_t port) {
  struct im_arrival *arrival = new_arrival(fd, address, port);
  return arrival && add(relay, arrival) ? arrival : NULL;
}

void callers_ask(struct im_relay *relay, const struct im_ingress *ingress, struct im_arrival *arrival) {
  if (!add(relay, arrival)) return;
  struct im_relay_event event = {.kind = IM_RELAY_CALLER,
                                 .id = arrival->caller,
                                 .ingress = ingress->number,
                                 .address = arrival->address,
                                 .port = arrival->port};
  relay_report(relay, &event);
}

static void accept_one(struct im_relay *relay, struct im_ingress *ingress, int fd, const struct sockaddr_in *from) {
  uint32_t address = ntohl(from->sin_addr.s_addr);
  if (ingress->clients) {
    enum im_refusal refusal = clients_connect(ingress->clients, address, (double)clock_now() / IM_MS);
    if (refusal != IM_ALLOWED) {
      tell_refused(relay, ingress, refusal, address);
      close(fd);
      return;
    }
  }
  struct im_arrival *arrival = new_arrival(fd, address, ntohs(from->sin_port));
  if (!arrival && ingress->clients) clients_leave(ingress->clients, address);
  if (!arrival) return;
  if (ingress->clients) arrival->clients = clients_share(ingress->clients);
  if (ingress->port)
    leads_take(relay, ingress, arrival);
  else
    callers_ask(relay, ingress, arrival);
}

static void on_accept(void *context, void *owner, uint32_t events) {
  struct im_relay *relay = context;
  struct im_ingress *ingress = owner;
  (void)events;
  for (int i = 0; i < ACCEPT_SHARE; i++) {
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    int fd = accept4(ingress->listener, (struct sockaddr *)&from, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
      accept_one(relay, ingress, fd, &from);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      reactor_watch(&relay->reactor, &ingress->accepting, ingress->listener, 0);
      reactor_set(&relay->reactor, &ingress->accept_again, clock_now() + ACCEPT_PAUSE);
      return;
    } else if (errno == EAGAIN) {
      return;
    }
  }
}

static void on_accept_time(void *context, void *owner) {
  struct im_relay *relay = context;
  struct im_ingress *ingress = owner;
  reactor_watch(&relay->reactor, &ingress->accepting, ingress->listener, EPOLLIN);
}

static uint32_t most_callers(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur / 4 > MOST_CALLERS) return MOST_CALLERS;
  return (uint32_t)limit.rlim_cur / 4;
}

int relay_accept(struct im_relay *relay, int listener, uint32_t number, struct im_clients *clients) {
  struct im_ingress *ingress = calloc(1, sizeof *ingress);
  if (!ingress) return ENOMEM;
  *ingress = (struct im_ingress){.listener = listener,
                                 .number = number,
                                 .accepting = {.on_event = on_accept, .owner = ingress},
                                 .accept_again = {.on_time = on_accept_time, .owner = ingress}};
  reactor_lock(&relay->reactor);
  if (!relay->callers) relay->callers = calloc(MOST_CALLERS, sizeof(struct im_arrival *));
  relay->most_callers = most_callers();
  int flags = fcntl(listener, F_GETFL), error = 0;
  if (!relay->callers) error = ENOMEM;
  if (!error && (flags < 0 || fcntl(listener, F_SETFL, flags | O_NONBLOCK) != 0 || !relay_set_options(listener) ||
                 !reactor_watch(&relay->reactor, &ingress->accepting, listener, EPOLLIN)))
    error = errno;
  if (!error) {
    ingress->clients = clients ? clients_share(clients) : NULL;
    ingress->next = relay->ingresses;
    relay->ingresses = ingress;
  }
  reactor_unlock(&relay->reactor);
  if (error) free(ingress);
  return error;
}

void callers_close(struct im_relay *relay) {
  for (uint32_t i = 0; relay->callers && i < MOST_CALLERS; i++)
    if (relay->callers[i]) drop(relay, relay->callers[i]);
  free(relay->callers);
  while (relay->ingresses) {
    struct im_ingress *ingress = relay->ingresses;
    relay->ingresses = ingress->next;
    close(ingress->listener);
    clients_release(ingress->clients);
    free(ingress);
  }
}

/* ---- what becomes of it ---- */

/* Nobody is to come for it any more. */
static void unexpect(struct im_relay *relay, struct im_expectation *expectation) {
  struct im_relay_event event = {.kind = IM_RELAY_UNUSED, .id = expectation->id, .arrived = 1};
  tokens_remove(&relay->tokens, expectation);
  free(expectation);
  relay_report(relay, &event);
}

bool relay_refuse(struct im_relay *relay, uint32_t caller) {
  reactor_lock(&relay->reactor);
  struct im_arrival *arrival = callers_find(relay, caller);
  if (arrival && arrival->expectation) unexpect(relay, arrival->expectation);
  if (arrival) drop(relay, arrival);
  reactor_unlock(&relay->reactor);
  if (arrival) reactor_wake(&relay->reactor); /* it is freed at the end of a round */
  return arrival != NULL;
}

int relay_take(struct im_relay *relay, uint32_t caller) {
  reactor_lock(&relay->reactor);
  struct im_arrival *arrival = callers_find(relay, caller);
  int fd = -1;
  if (arrival && !arrival->expectation) {
    fd = arrival->fd;
    callers_forget(relay, arrival);
    queue_bury(relay, arrival);
  }
  reactor_unlock(&relay->reactor);
  if (fd < 0) return fd;
  reactor_wake(&relay->reactor);
  /* Whoever closes it has sent all by then: the kernel delivers that, and does not reset. */
  struct linger none = {0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
  return fd;
}

static void on_expecting_event(void *context, void *owner, uint32_t events) {
  struct im_relay *relay = context;
  struct im_arrival *arrival = owner;
  if (!has_left(arrival, events)) return;
  struct im_expectation *expectation = arrival->expectation;
  gone(relay, arrival);
  unexpect(relay, expectation);
}

bool relay_admit(struct im_relay *relay, uint32_t caller, const unsigned char a[IM_TOKEN_SIZE],
                 const unsigned char b[IM_TOKEN_SIZE], uint32_t id, const struct im_preface *preface) {
  bool first = false, admitted = false;
  reactor_lock(&relay->reactor);
  struct im_arrival *arrival = callers_find(relay, caller);
  if (arrival && !arrival->expectation && !pairs_full(relay) &&
      tokens_expect(&relay->tokens, a, b, id, clock_now() + relay->options.pair_limit * IM_MS, &first)) {
    arrival->preface = *preface;
    arrival->expectation = tokens_use(&relay->tokens, a);
    arrival->expectation->arrived = arrival;
    arrival->source.on_event = on_expecting_event;
    admitted = true;
  }
  reactor_unlock(&relay->reactor);
  if (first) reactor_wake(&relay->reactor);
  return admitted;
}
