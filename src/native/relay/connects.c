#define _GNU_SOURCE
#include "parts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static void end(struct im_relay *relay, struct im_arrival *arrival, int error) {
  struct im_relay_event event = {.kind = IM_RELAY_UNUSED, .id = arrival->for_pair, .arrived = 1, .error = error};
  atomic_fetch_sub(&relay->pairs, 1);
  queue_drop(relay, arrival);
  relay_report(relay, &event);
}

static void on_connect(void *context, void *owner, uint32_t events) {
  struct im_relay *relay = context;
  struct im_arrival *arrival = owner, *caller = callers_find(relay, arrival->for_caller);
  int error = 0;
  socklen_t length = sizeof error;
  if (!(events & (EPOLLOUT | EPOLLHUP | EPOLLERR))) return;
  if (getsockopt(arrival->fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) error = errno;
  if (!error && caller) {
    struct im_arrival *sides[2] = {caller, arrival};
    if (pairs_join(relay, NULL, arrival->for_pair, sides)) {
      atomic_fetch_sub(&relay->pairs, 1); /* the pair has been counted */
      queue_remove(arrival);
      reactor_clear(&relay->reactor, &arrival->timer);
      return;
    }
    error = ENOMEM;
  }
  end(relay, arrival, error);
}

static void on_connect_time(void *context, void *owner) { end(context, owner, ETIMEDOUT); }

int connects_begin(uint32_t client, uint32_t address, uint16_t port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)};
  struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(client)};
  int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  if (client >> 24 == 127 && client != INADDR_LOOPBACK) { /* which is the kernel's own choice */
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    (void)bind(fd, (struct sockaddr *)&from, sizeof from);
  }
  if (relay_set_local_options(fd) && (connect(fd, (struct sockaddr *)&to, sizeof to) == 0 || errno == EINPROGRESS))
    return fd;
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

/* Lock held. 0, or an errno. */
static int add(struct im_relay *relay, struct im_arrival *arrival, const struct im_preface *preface) {
  struct im_arrival *caller = callers_find(relay, arrival->for_caller);
  if (!caller) return ESRCH;
  if (!reactor_watch(&relay->reactor, &arrival->source, arrival->fd, IM_WATCHED)) return errno;
  caller->preface = *preface;
  atomic_fetch_add(&relay->pairs, 1);
  queue_add(&relay->connecting, arrival);
  reactor_set(&relay->reactor, &arrival->timer, clock_now() + relay->options.pair_limit * IM_MS);
  return 0;
}

/* The reactor's thread holds the lock while it works: what the kernel does here is not to wait for that. */
int relay_connect(struct im_relay *relay, const struct im_destination *to, const struct im_preface *preface) {
  if (pairs_full(relay)) return ENOBUFS;
  struct im_arrival *arrival = calloc(1, sizeof *arrival);
  if (!arrival) return ENOMEM;
  *arrival = (struct im_arrival){.fd = connects_begin(to->client, to->address, to->port),
                                 .for_caller = to->caller,
                                 .for_pair = to->id,
                                 .direct = true,
                                 .source = {.on_event = on_connect, .owner = arrival},
                                 .timer = {.on_time = on_connect_time, .owner = arrival}};
  int error = arrival->fd < 0 ? errno : 0;
  bool first = false;
  if (!error) {
    reactor_lock(&relay->reactor);
    first = !relay->connecting.first;
    error = add(relay, arrival, preface);
    reactor_unlock(&relay->reactor);
    if (error) close(arrival->fd);
  }
  if (error)
    free(arrival);
  else if (first)
    reactor_wake(&relay->reactor); /* it has a deadline to keep now; those that follow have later ones */
  return error;
}

bool connects_withdraw(struct im_relay *relay, uint32_t id) {
  struct im_arrival *arrival = relay->connecting.first;
  while (arrival && arrival->for_pair != id) arrival = arrival->later;
  if (arrival) end(relay, arrival, ECANCELED);
  return arrival != NULL;
}

void connects_close(struct im_relay *relay) {
  while (relay->connecting.first) queue_drop(relay, relay->connecting.first);
}
