#include "datagram.h"

#include "core/alias.h"
#include "core/kernel.h"
#include "listen/own_port.h"
#include "recent_peers.h"
#include "core/request.h"
#include "names/resolver.h"
#include "core/sockets.h"
#include "core/table.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>

bool datagram_is(int fd) {
  int protocol = kernel_int(fd, SOL_SOCKET, SO_PROTOCOL, 0);
  /* A raw socket may have UDP's protocol. */
  return (protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE) &&
         kernel_int(fd, SOL_SOCKET, SO_TYPE, 0) == SOCK_DGRAM;
}

/* ---- addresses ---- */

static bool is_loop(const struct im_addr *to) { return to->ip == IM_LOOPBACK || to->ip == 0; }

static struct im_route own_route(const struct im_addr *to) {
  bool loop = is_loop(to);
  struct im_port listed;
  struct im_route route = {.kind = IM_ROUTE_LOCAL, .real_port = alias_hidden_port(to->port)};
  route.real = loop ? alias_loop() : alias_host();
  /*
   * From loopback to loopback the kernel's own choice of a source is right, unless what is there has another loopback
   * alias.
   */
  route.source = loop ? 0 : alias_host();
  if (table_find_port(table_cluster()->self, to->port, IM_DATAGRAM(loop ? IM_SCOPES_LOCAL : IM_SCOPES_REMOTE),
                      &listed)) {
    if (listed.real) route.real = listed.real;
    route.real_port = listed.real_port;
    if (loop) route.source = alias_loop();
  }
  return route;
}

/* A client from outside: the supervisor has a port that stands for it. It may be on this very machine, at 127.0.0.1. */
static bool client_route(const struct im_addr *to, struct im_route *route) {
  struct im_port listed;
  if (!to->ip || to->form == IM_FORM_V6_LOOP || table_is_virtual(to->ip) ||
      !table_find_client(to->ip, to->port, &listed))
    return false;
  *route = (struct im_route){
      .kind = IM_ROUTE_DIRECT, .real = listed.real, .real_port = listed.real_port, .source = alias_host()};
  return true;
}

struct im_route datagram_route(const struct im_addr *to) {
  struct im_location location;
  struct im_port listed;
  struct im_route own;
  if (client_route(to, &own)) return own;
  if (is_loop(to)) return own_route(to);
  if (route_other_loopback(to, IM_DATAGRAM(1u << IM_SCOPE_ANY), &own)) return own;
  if (!table_is_virtual(to->ip)) return route_outside(to, IM_SCOPES_DATAGRAM);
  if (to->ip == table_cluster()->self) return own_route(to);
  struct im_route route = {.kind = IM_ROUTE_LOCATE,
                           .real = alias_of(to->ip),
                           .real_port = alias_hidden_port(to->port),
                           .source = alias_host()};
  bool known = table_find_address(to->ip, &location);
  if (known && location.state == IM_DIRECT) {
    route.kind = IM_ROUTE_DIRECT;
    route.epoch = location.epoch;
    route.real = location.real;
    if (table_find_port(to->ip, to->port, IM_DATAGRAM(IM_SCOPES_REMOTE), &listed)) {
      if (listed.real) route.real = listed.real;
      route.real_port = listed.real_port;
    }
  } else if (!known || recent_peers_known(to->ip, to->port))
    route.kind = IM_ROUTE_DIRECT; /* a client, which is never allocated; or an answer */
  return route;
}

static bool bound_to_loop(int fd) {
  struct im_addr at;
  return kernel_local(fd, &at) && at.ip == alias_loop();
}

/*
 * Whether the guest knows this IPv6 socket to be at, or connected to, ::1: then what comes from loopback comes from
 * there.
 */
static bool speaks_loop6(int fd) {
  struct im_addr peer;
  struct im_socket socket;
  if (datagram_peer(fd, &peer) && peer.form == IM_FORM_V6_LOOP) return true;
  return sockets_has(fd, IM_HAS_LOCAL, &socket) && socket.local.form == IM_FORM_V6_LOOP;
}

bool datagram_shown(int fd, const struct im_addr *real, struct im_addr *shown) {
  uint32_t address;
  struct im_port listed;
  if (!real->port) return false; /* what a raw socket receives */
  if (real->ip == table_cluster()->alias_base && table_find_real_client(real->port, &listed)) {
    *shown = (struct im_addr){listed.address, listed.port, real->form};
    sockets_traffic();
    return true;
  }
  if (!alias_virtual(real->ip, &address)) return resolver_shown(real, shown);
  uint32_t host = address == IM_LOOPBACK ? table_cluster()->self : address;
  bool found = table_find_real_port(host, real->ip, real->port, IM_SCOPES_DATAGRAM, &listed);
  *shown = (struct im_addr){address, found ? listed.port : alias_plain_port(real->port), real->form};
  if (!found && alias_extra_of(real, IM_SCOPES_DATAGRAM, shown)) return true;
  if (real->ip == alias_host()) {
    /* One port of ours has both addresses: it is known by the one that it was written to. */
    if (recent_peers_known(IM_LOOPBACK, shown->port) || bound_to_loop(fd)) shown->ip = IM_LOOPBACK;
  } else if (address != IM_LOOPBACK) {
    recent_peers_note(address, shown->port);
    sockets_traffic();
  }
  if (shown->ip == IM_LOOPBACK && shown->form == IM_FORM_MAPPED && speaks_loop6(fd)) shown->form = IM_FORM_V6_LOOP;
  return true;
}

/* ---- bind ---- */

/* A wildcard port of the kernel's choice stays what it is: it disturbs nobody, and reaches the world as well. */
int datagram_bind(int fd, const struct sockaddr *address, socklen_t size, const struct im_addr *to) {
  int saved = errno;
  bool only_v6 = to->form != IM_FORM_V4 && kernel_is_v6_only(fd);
  if ((!to->ip && !to->port) || (only_v6 && to->form == IM_FORM_MAPPED)) return libc_bind(fd, address, size);
  /* The cluster speaks IPv4 only: a port for IPv6 only is granted, somewhere where it disturbs no other host. */
  int result = only_v6 ? kernel_bind(fd, &(struct im_addr){.form = IM_FORM_V6_LOOP}) : own_port_bind(fd, to, true);
  if (result != 0) return result;
  struct im_addr at = {0};
  struct im_socket socket = {.flags = IM_HAS_LOCAL, .local = *to};
  bool known = kernel_local(fd, &at);
  if (!to->port) socket.local.port = at.port;
  uint64_t cookie = sockets_cookie(fd);
  sockets_put(cookie, &socket);
  /* A port that the kernel chose is known to others by this guest only, and is where it seems to be. */
  if (known && !only_v6 && (to->port || alias_is_extra(to->ip))) {
    uint32_t scope = alias_is_loop(to->ip) ? IM_SCOPE_LOOPBACK : to->ip ? IM_SCOPE_HOST : IM_SCOPE_ANY;
    request_listen(cookie, &socket.local, &at, scope | IM_SCOPE_DATAGRAM);
  }
  errno = saved;
  return 0;
}

/* ---- connect ---- */

/*
 * By descriptor, for this process: its virtual and its real peer, so that send() needs no call to the kernel. An entry
 * may be old (the number was closed and used again): it is checked by cookie before use.
 */
#define DESCRIPTORS 16384
static struct {
  _Atomic uint64_t peer, real; /* ip << 32 | port << 16 | form + 1; 0: none */
} connected[DESCRIPTORS];

static uint64_t packed(uint32_t ip, uint16_t port, uint8_t form) {
  return (uint64_t)ip << 32 | (uint64_t)port << 16 | (form + 1u);
}

bool datagram_peer(int fd, struct im_addr *peer) {
  if (fd < 0 || fd >= DESCRIPTORS) return false;
  uint64_t entry = atomic_load_explicit(&connected[fd].peer, memory_order_relaxed);
  if (__builtin_expect(!entry, 1)) return false;
  *peer = (struct im_addr){(uint32_t)(entry >> 32), (uint16_t)(entry >> 16), (uint8_t)((entry & 7) - 1)};
  return true;
}

static void note_peer(int fd, const struct im_addr *to, const struct im_route *route) {
  if (fd >= DESCRIPTORS) return;
  atomic_store_explicit(&connected[fd].real, packed(route->real, route->real_port, to->form), memory_order_relaxed);
  atomic_store_explicit(&connected[fd].peer, packed(to->ip, to->port, to->form), memory_order_relaxed);
}

/* Gives fd a source address that the other side knows; where a port was chosen already, it stays. */
static void take_source(int fd, const struct im_addr *to, uint32_t source) {
  struct im_addr at;
  if (!source || !kernel_local(fd, &at) || at.ip == source) return;
  kernel_disconnect(fd);
  if (at.ip == 0 && at.port)
    kernel_bind(fd, &(struct im_addr){source, at.port, addr_plain(to->form)});
  else
    kernel_bind_source(fd, to, source);
}

static int connect_at(int fd, const struct im_addr *to, const struct im_route *route) {
  struct im_addr there = addr_real(to, route->real, route->real_port);
  return kernel_connect(fd, &there);
}

/* Never waits, as the kernel's never does, and allocates nothing: that is for the first datagram to do. */
int datagram_connect(int fd, const struct im_addr *to) {
  int saved = errno;
  struct im_route route = datagram_route(to);
  uint32_t source = is_loop(to) ? alias_loop() : route.source;
  take_source(fd, to, source);
  if (connect_at(fd, to, &route) != 0) return -1;
  sockets_note_peer(fd, to);
  note_peer(fd, to, &route);
  errno = saved;
  return 0;
}

bool datagram_connected(int fd, const struct im_addr *peer) {
  struct im_socket socket;
  if (sockets_has(fd, IM_HAS_PEER, &socket) && socket.peer.ip == peer->ip && socket.peer.port == peer->port &&
      datagram_is(fd))
    return true;
  atomic_store_explicit(&connected[fd].peer, 0, memory_order_relaxed);
  return false;
}

void datagram_follow(int fd, const struct im_addr *peer, const struct im_route *route) {
  uint64_t real = packed(route->real, route->real_port, peer->form);
  if (atomic_load_explicit(&connected[fd].real, memory_order_relaxed) == real) return;
  if (!datagram_connected(fd, peer)) return;
  connect_at(fd, peer, route);
  atomic_store_explicit(&connected[fd].real, real, memory_order_relaxed);
}

void datagram_release(int fd) {
  struct im_addr peer, at;
  if (!datagram_peer(fd, &peer)) return;
  IM_KEEP_ERRNO;
  atomic_store_explicit(&connected[fd].peer, 0, memory_order_relaxed);
  if (datagram_is(fd)) {
    kernel_disconnect(fd);
    if (kernel_local(fd, &at) && at.port == 0 && at.ip != 0)
      kernel_bind(fd, &(struct im_addr){.form = peer.form == IM_FORM_V4 ? IM_FORM_V4 : IM_FORM_V6_ANY});
  }
}
