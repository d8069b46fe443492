#define _GNU_SOURCE
#include "parts.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Bytes from one side that may wait unsent at the other. The rest waits at the side that sends. */
#define UNSENT (256 * 1024)

/*
 * Accepted sockets inherit these. A reset is what a relay's end is to both sides, also when the process is killed: an
 * end in good order would pass for the other side's.
 */
bool relay_set_options(int fd) {
  int one = 1;
  return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
         setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one) == 0 &&
         pairs_keep_alive(fd, IM_KEEP_ALIVE, IM_KEEP_ALIVE_PROBES) && relay_set_local_options(fd);
}

bool relay_set_local_options(int fd) {
  int one = 1, unsent = UNSENT;
  struct linger reset = {.l_onoff = 1, .l_linger = 0};
  return setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset) == 0 &&
         setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0 &&
         setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent) == 0;
}

static int listen_on(struct im_relay *relay, uint16_t *port, const char **syscall) {
  struct sockaddr_in address = relay->options.address;
  socklen_t length = sizeof address;
  *syscall = "socket";
  relay->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (relay->listener < 0) return errno;
  *syscall = "setsockopt";
  if (!relay_set_options(relay->listener)) return errno;
  *syscall = "bind";
  if (bind(relay->listener, (struct sockaddr *)&address, length) != 0) return errno;
  *syscall = "listen";
  if (listen(relay->listener, 1024) != 0) return errno;
  if (getsockname(relay->listener, (struct sockaddr *)&address, &length) != 0) return errno;
  *port = ntohs(address.sin_port);
  int error = reactor_start(&relay->reactor, syscall);
  if (error) return error;
  *syscall = "epoll_ctl";
  pthread_mutex_lock(&relay->reactor.lock);
  if (!arrivals_listen(relay)) error = errno;
  pthread_mutex_unlock(&relay->reactor.lock);
  return error;
}

/* It has been taken out. A client's connection waits for another decision, a member's is reset. */
static void unused(struct im_relay *relay, struct im_expectation *expectation) {
  struct im_arrival *arrived = expectation->arrived;
  struct im_relay_event event = {.kind = IM_RELAY_UNUSED, .id = expectation->id, .arrived = arrived ? 1 : 0};
  bool caller = arrived && arrived->caller;
  if (arrived && !caller) queue_drop(relay, arrived);
  free(expectation);
  if (caller) callers_return(arrived);
  relay_report(relay, &event);
}

static void on_unused(void *context, void *owner) {
  struct im_relay *relay = context;
  (void)owner;
  for (struct im_expectation *due; (due = tokens_due(&relay->tokens, clock_now()));) unused(relay, due);
}

/* Tokens come from other threads, so their timer is set here. */
static bool on_round(void *context) {
  struct im_relay *relay = context;
  int64_t due = -1;
  pairs_run(relay);
  if (!relay->unused.at) tokens_count(&relay->tokens, &due);
  if (due >= 0) reactor_set(&relay->reactor, &relay->unused, due);
  return relay->first_queued;
}

int relay_open(const struct im_relay_options *options, struct im_relay **result, uint16_t *port, const char **syscall) {
  struct im_relay *relay = calloc(1, sizeof *relay);
  *syscall = "malloc";
  if (!relay) return ENOMEM;
  relay->options = *options;
  relay->listener = -1;
  relay->pipes.few = relay->few;
  relay->unused.on_time = on_unused;
  reactor_init(&relay->reactor, relay, on_round);
  for (size_t i = 0; i < IM_ADDRESSES; i++) relay->buckets[i].tokens = IM_PROBE_BURST;
  tokens_init(&relay->tokens);
  int error = listen_on(relay, port, syscall);
  if (error != 0)
    relay_close(relay);
  else
    *result = relay;
  return error;
}

bool relay_expect(struct im_relay *relay, const unsigned char a[IM_TOKEN_SIZE], const unsigned char b[IM_TOKEN_SIZE],
                  uint32_t id) {
  if (pairs_full(relay)) return false;
  bool first = false;
  if (!tokens_expect(&relay->tokens, a, b, id, clock_now() + relay->options.pair_limit * IM_MS, &first)) return false;
  if (first) reactor_wake(&relay->reactor); /* it has a deadline to keep now */
  return true;
}

bool relay_withdraw(struct im_relay *relay, uint32_t id) {
  reactor_lock(&relay->reactor);
  struct im_expectation *expectation = tokens_find(&relay->tokens, id);
  if (expectation) {
    tokens_remove(&relay->tokens, expectation);
    unused(relay, expectation);
  }
  bool withdrawn = expectation || connects_withdraw(relay, id);
  reactor_unlock(&relay->reactor);
  if (withdrawn) reactor_wake(&relay->reactor); /* what it closes is freed at the end of a round */
  return withdrawn;
}

void relay_close(struct im_relay *relay) {
  reactor_stop(&relay->reactor);
  while (relay->fresh.first) queue_drop(relay, relay->fresh.first);
  while (relay->probes.first) queue_drop(relay, relay->probes.first);
  for (struct im_expectation *e; (e = tokens_due(&relay->tokens, INT64_MAX));) {
    struct im_arrival *arrived = e->arrived;
    if (arrived && !arrived->caller) queue_drop(relay, arrived);
    free(e);
  }
  connects_close(relay);
  leads_close(relay);
  callers_close(relay);
  pairs_close(relay);
  splice_close_pipes(&relay->pipes);
  if (relay->listener >= 0) close(relay->listener);
  tokens_free(&relay->tokens);
  reactor_free(&relay->reactor);
  free(relay);
}
