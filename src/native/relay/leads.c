#define _GNU_SOURCE
#include "parts.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* A guest whose queue is full answers nothing. Its client is asked about then: it may wait, and who waits is bounded.
 */
#define LIMIT (200 * IM_MS)

/* The destination is not to be had, or not any more. */
static void give_back(struct im_relay *relay, struct im_arrival *client) {
  callers_ask(relay, client->ingress, client);
}

static void join(struct im_relay *relay, struct im_arrival *client, struct im_arrival *guest) {
  struct im_arrival *sides[2] = {client, guest};
  if (pairs_join_led(relay, sides)) return tell_led(relay, client->ingress, client->address);
  queue_drop(relay, guest);
  queue_drop(relay, client);
}

/* ---- one that is being connected ---- */

static void fail(struct im_relay *relay, struct im_arrival *guest) {
  struct im_arrival *client = guest->client;
  atomic_fetch_sub(&relay->pairs, 1);
  queue_drop(relay, guest);
  give_back(relay, client);
}

static void on_connect(void *context, void *owner, uint32_t events) {
  struct im_relay *relay = context;
  struct im_arrival *guest = owner;
  int error = 0;
  socklen_t length = sizeof error;
  if (!(events & (EPOLLOUT | EPOLLHUP | EPOLLERR))) return;
  if (getsockopt(guest->fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0 || error) return fail(relay, guest);
  queue_remove(guest);
  reactor_clear(&relay->reactor, &guest->timer);
  atomic_fetch_sub(&relay->pairs, 1); /* the pair counts itself */
  join(relay, guest->client, guest);
}

static void on_connect_time(void *context, void *owner) { fail(context, owner); }

static bool wait_for(struct im_relay *relay, struct im_arrival *guest) {
  guest->source = (struct im_source){.on_event = on_connect, .owner = guest};
  guest->timer = (struct im_timer){.on_time = on_connect_time, .owner = guest};
  if (!reactor_watch(&relay->reactor, &guest->source, guest->fd, EPOLLOUT)) return false;
  atomic_fetch_add(&relay->pairs, 1);
  queue_add(&relay->leading, guest);
  reactor_set(&relay->reactor, &guest->timer, clock_now() + LIMIT);
  return true;
}

/* ---- new ones ---- */

/* On one machine a connection stands by the time connect(2) returns, if the guest has room in its queue. */
static bool stands(int fd) {
  struct sockaddr_in peer;
  socklen_t length = sizeof peer;
  return getpeername(fd, (struct sockaddr *)&peer, &length) == 0;
}

void leads_take(struct im_relay *relay, struct im_ingress *ingress, struct im_arrival *client) {
  client->ingress = ingress;
  struct im_arrival *guest = pairs_full(relay) ? NULL : calloc(1, sizeof *guest);
  int fd = guest ? connects_begin(client->address, ingress->address, ingress->port) : -1;
  if (fd >= 0) {
    *guest = (struct im_arrival){.fd = fd, .direct = true, .client = client, .source = {.owner = guest}};
    if (stands(fd)) return join(relay, client, guest);
    if (wait_for(relay, guest)) return;
    close(fd);
  }
  free(guest);
  give_back(relay, client);
}

/* ---- where to ---- */

bool relay_lead(struct im_relay *relay, uint32_t number, uint32_t address, uint16_t port, uint64_t lead) {
  reactor_lock(&relay->reactor);
  struct im_ingress *ingress = relay->ingresses;
  while (ingress && ingress->number != number) ingress = ingress->next;
  if (ingress && ingress->clients) {
    tell_all(relay, ingress);
    ingress->address = address;
    ingress->port = port;
    ingress->lead = lead;
    for (struct im_arrival *guest = relay->leading.first, *later; guest; guest = later) {
      later = guest->later;
      if (guest->client->ingress == ingress) fail(relay, guest);
    }
  }
  reactor_unlock(&relay->reactor);
  if (ingress) reactor_wake(&relay->reactor); /* what it closes is freed at the end of a round */
  return ingress && ingress->clients;
}

void leads_close(struct im_relay *relay) {
  while (relay->leading.first) {
    struct im_arrival *guest = relay->leading.first, *client = guest->client;
    queue_drop(relay, guest);
    queue_drop(relay, client);
  }
}
