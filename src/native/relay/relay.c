#define _GNU_SOURCE
#include "parts.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* A peer that is gone without a word is found by keep-alive, after 60 + 10 * 60 seconds: a host may be suspended. */
#define KEEP_ALIVE 60
#define KEEP_ALIVE_PROBES 10
/* Of what was taken from the one side, so much waits unsent at the other: the rest waits where it came from. */
#define UNSENT (256 * 1024)

/*
 * Accepted sockets inherit these. A reset is what a relay's end is to both sides, also when the process is killed: an
 * end in good order would pass for the other side's.
 */
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
  int error = pthread_create(&relay->thread, NULL, relay_run, relay);
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
  relay->next_sweep = relay_now() + SWEEP;
  relay->rejected_told = relay_now() - REJECTED_PAUSE;
  for (size_t i = 0; i < ADDRESSES; i++) relay->buckets[i].tokens = PROBE_BURST;
  tokens_init(&relay->tokens);
  int error = listen_on(relay, port, syscall);
  if (error == 0) {
    *syscall = "pthread_create";
    error = start_thread(relay);
  }
  if (error != 0)
    free_relay(relay);
  else
    *result = relay;
  return error;
}

bool relay_expect(struct relay *relay, const unsigned char a[TOKEN_BYTES], const unsigned char b[TOKEN_BYTES],
                  uint32_t id) {
  if (tokens_count(&relay->tokens, NULL) + atomic_load(&relay->pairs) >= relay->options.most_pairs) return false;
  bool first = false;
  if (!tokens_expect(&relay->tokens, a, b, id, relay_now() + relay->options.pair_limit, &first)) return false;
  if (first) wake(relay); /* it has a deadline to keep now */
  return true;
}

void relay_close(struct relay *relay) {
  atomic_store(&relay->stopping, true);
  wake(relay);
  pthread_join(relay->thread, NULL);
  while (relay->fresh.first) queue_drop(relay, relay->fresh.first);
  while (relay->probes.first) queue_drop(relay, relay->probes.first);
  for (struct expectation *e; (e = tokens_due(&relay->tokens, INT64_MAX));) {
    if (e->arrived) queue_drop(relay, e->arrived);
    free(e);
  }
  pairs_close(relay);
  queue_free_dead(relay);
  pipes_close(&relay->pipes);
  free_relay(relay);
}
