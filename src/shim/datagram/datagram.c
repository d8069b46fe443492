#include "datagram.h"

#include "connect/connect.h"
#include "core/alias.h"
#include "recent_peers.h"
#include "core/request.h"
#include "names/resolver.h"
#include "core/sockets.h"
#include "core/table.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <string.h>

#define ANNOUNCE_MS 5000

bool datagram_is(int fd) {
  int protocol = 0, type = 0;
  socklen_t size = sizeof protocol;
  /* A raw socket may have UDP's protocol. */
  return libc_getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) == 0 &&
         (protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE) &&
         libc_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_DGRAM;
}

/* ---- addresses ---- */

/* The real port of one that is not listed, and back. */
static uint16_t hidden_port(uint16_t port) { return port && port < 1024 ? (uint16_t)(IM_LOW_PORTS + port) : port; }
static uint16_t plain_port(uint16_t real) { return real > IM_LOW_PORTS ? (uint16_t)(real - IM_LOW_PORTS) : real; }

static bool is_loop(const struct im_addr *to) { return to->ip == IM_LOOPBACK || to->ip == 0; }

static struct im_route own_route(const struct im_addr *to) {
  bool loop = is_loop(to);
  struct im_port listed;
  struct im_route route = {.kind = IM_ROUTE_LOCAL, .real_port = hidden_port(to->port)};
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

struct im_route datagram_route(const struct im_addr *to) {
  struct im_location location;
  struct im_port listed;
  struct im_route own;
  if (is_loop(to)) return own_route(to);
  if (route_other_loopback(to, IM_DATAGRAM(1u << IM_SCOPE_ANY), &own)) return own;
  if (!table_is_virtual(to->ip))
    return resolver_is(to) ? resolver_route(to, IM_SCOPES_DATAGRAM) : (struct im_route){.kind = IM_ROUTE_NATIVE};
  if (to->ip == table_cluster()->self) return own_route(to);
  struct im_route route = {
      .kind = IM_ROUTE_LOCATE, .real = alias_of(to->ip), .real_port = hidden_port(to->port), .source = alias_host()};
  bool known = table_find_address(to->ip, &location);
  if (known && location.state == IM_DIRECT) {
    route.kind = IM_ROUTE_DIRECT;
    route.epoch = location.epoch;
    route.real = location.real;
    if (table_find_port(to->ip, to->port, IM_DATAGRAM(IM_SCOPES_REMOTE), &listed)) {
      if (listed.real) route.real = listed.real;
      route.real_port = listed.real_port;
    }
  } else if (!known || recent_peer_known(to->ip, to->port))
    route.kind = IM_ROUTE_DIRECT; /* a client, which nobody allocates; or an answer */
  return route;
}

static bool bound_to_loop(int fd) {
  struct sockaddr_storage address;
  struct im_addr at;
  socklen_t size = sizeof address;
  return libc_getsockname(fd, (struct sockaddr *)&address, &size) == 0 && addr_read(&address, size, &at) &&
         at.ip == alias_loop();
}

/*
 * Whether the guest knows this IPv6 socket to be at, or connected to, ::1: then what comes from loopback comes from
 * there.
 */
static bool speaks_loop6(int fd) {
  struct im_addr peer;
  struct im_socket socket;
  if (datagram_peer(fd, &peer) && peer.form == IM_FORM_V6_LOOP) return true;
  return sockets_get(sockets_cookie(fd), &socket) && socket.flags & IM_HAS_LOCAL &&
         socket.local.form == IM_FORM_V6_LOOP;
}

bool datagram_shown(int fd, const struct im_addr *real, struct im_addr *shown) {
  uint32_t address;
  struct im_port listed;
  if (!real->port) return false; /* what a raw socket receives */
  if (!alias_virtual(real->ip, &address)) return resolver_shown(real, shown);
  uint32_t host = address == IM_LOOPBACK ? table_cluster()->self : address;
  bool found = table_find_real_port(host, real->ip, real->port, IM_SCOPES_DATAGRAM, &listed);
  *shown = (struct im_addr){address, found ? listed.port : plain_port(real->port), real->form};
  if (!found && alias_extra_of(real, IM_SCOPES_DATAGRAM, shown)) return true;
  if (real->ip == alias_host()) {
    /* One port of ours has both addresses: it is known by the one that it was written to. */
    if (recent_peer_known(IM_LOOPBACK, shown->port) || bound_to_loop(fd)) shown->ip = IM_LOOPBACK;
  } else if (address != IM_LOOPBACK) {
    recent_peer_note(address, shown->port);
    sockets_traffic();
  }
  if (shown->ip == IM_LOOPBACK && shown->form == IM_FORM_MAPPED && speaks_loop6(fd)) shown->form = IM_FORM_V6_LOOP;
  return true;
}

/* ---- bind ---- */

static int bind_at(int fd, uint8_t form, uint32_t ip, uint16_t port) {
  struct sockaddr_storage address;
  struct im_addr at = {ip, port, form};
  socklen_t size = addr_write(&at, &address);
  return libc_bind(fd, (struct sockaddr *)&address, size);
}

static bool name_of(int fd, struct im_addr *at) {
  struct sockaddr_storage address;
  socklen_t size = sizeof address;
  return libc_getsockname(fd, (struct sockaddr *)&address, &size) == 0 && addr_read(&address, size, at);
}

/* Tells the supervisor, and returns when the table lists the port. */
static void announce(int fd, const struct im_addr *to, uint64_t cookie) {
  struct im_addr at;
  struct im_reply answer;
  if (!name_of(fd, &at)) return;
  struct im_request request = {.op = IM_OP_LISTEN,
                               .cookie = cookie,
                               .address = alias_is_extra(to->ip) ? to->ip : table_cluster()->self,
                               .port = to->port,
                               .real_port = at.port,
                               .real = at.ip,
                               .scope = IM_SCOPE_ANY};
  if (to->ip == IM_LOOPBACK || alias_is_extra(to->ip))
    request.scope = IM_SCOPE_LOOPBACK;
  else if (to->ip)
    request.scope = IM_SCOPE_HOST;
  request.scope |= IM_SCOPE_DATAGRAM;
  int reply = request_ask(&request, true);
  if (reply < 0 || request_wait(reply, &answer, 0, ANNOUNCE_MS) == -EPIPE) request_lost();
  if (reply >= 0) libc_close(reply);
}

static bool is_v6_only(int fd) {
  int only = 0;
  socklen_t size = sizeof only;
  return libc_getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &size) == 0 && only;
}

/* Whether a port of ours, or what a guest has bound at 127.0.0.2 or the like, had to move to that real one. */
static bool moved_there(uint32_t real, uint16_t real_port, uint16_t port) {
  struct im_port listed;
  if (table_find_real_port(table_cluster()->self, real, real_port, IM_SCOPES_DATAGRAM, &listed) && listed.port != port)
    return true;
  return table_find_extra(real, real_port, IM_SCOPES_DATAGRAM, &listed);
}

/* A wildcard port of the kernel's choice stays what it is: it disturbs nobody, and reaches the world as well. */
int datagram_bind(int fd, const struct sockaddr *address, socklen_t size, const struct im_addr *to) {
  int saved = errno;
  struct im_port listed;
  bool alias = alias_is_extra(to->ip), loop = to->ip == IM_LOOPBACK || alias;
  uint32_t host = alias ? to->ip : table_cluster()->self, real = loop ? alias_loop() : alias_host();
  uint8_t form = to->form == IM_FORM_V4 ? IM_FORM_V4 : IM_FORM_MAPPED;
  bool only_v6 = form == IM_FORM_MAPPED && is_v6_only(fd);
  errno = saved;
  if ((!to->ip && !to->port) || (only_v6 && to->form == IM_FORM_MAPPED)) return libc_bind(fd, address, size);
  struct im_socket socket = {.flags = IM_HAS_LOCAL, .local = *to};
  int result;
  if (only_v6) {
    /* The cluster speaks IPv4 only: such a port is granted, somewhere where it disturbs no other host. */
    result = bind_at(fd, IM_FORM_V6_LOOP, 0, 0);
  } else {
    uint16_t port = alias ? 0 : hidden_port(to->port);
    unsigned scopes = IM_DATAGRAM(loop ? 1u << IM_SCOPE_LOOPBACK : IM_SCOPES_REMOTE);
    if (to->port && table_find_port(host, to->port, scopes, &listed) && listed.real == real) port = listed.real_port;
    result = bind_at(fd, form, real, port);
    /* Taken by another port of ours that had to move there. */
    if (result != 0 && errno == EADDRINUSE && !alias && moved_there(real, port, to->port))
      result = bind_at(fd, form, real, 0);
  }
  if (result != 0) return result;
  struct im_addr at;
  if (!to->port && name_of(fd, &at)) socket.local.port = at.port;
  uint64_t cookie = sockets_cookie(fd);
  sockets_put(cookie, &socket);
  /* One that the kernel chose can be told to others by this guest only, and is where it seems to be. */
  if ((to->port || alias) && !only_v6) announce(fd, &socket.local, cookie);
  errno = saved;
  return 0;
}

/* ---- connect ---- */

/*
 * By descriptor, for this process: whom it was connected to and where that was, so that send() need not ask the kernel.
 * An entry may be old (the number was closed and used again): what depends on it is checked by cookie first.
 */
#define DESCRIPTORS 16384
static struct {
  _Atomic uint64_t peer, real; /* ip << 32 | port << 16 | form + 1; 0: nobody */
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

static void disconnect(int fd) {
  struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
  libc_connect(fd, &nowhere, sizeof nowhere);
}

/* Gives fd a source address that the other side knows; where a port was chosen already, it stays. */
static void take_source(int fd, const struct im_addr *to, uint32_t source) {
  struct im_addr at;
  if (!source || !name_of(fd, &at) || at.ip == source) return;
  disconnect(fd);
  if (at.ip == 0 && at.port)
    bind_at(fd, to->form == IM_FORM_V4 ? IM_FORM_V4 : IM_FORM_MAPPED, source, at.port);
  else
    connect_bind_source(fd, to, source);
}

static int connect_at(int fd, const struct im_addr *to, const struct im_route *route) {
  struct sockaddr_storage address;
  struct im_addr there = {route->real, route->real_port, to->form == IM_FORM_V4 ? IM_FORM_V4 : IM_FORM_MAPPED};
  socklen_t size = addr_write(&there, &address);
  return libc_connect(fd, (struct sockaddr *)&address, size);
}

/* Never waits, as the kernel's never does, and allocates nothing: that is for the first datagram to do. */
int datagram_connect(int fd, const struct im_addr *to) {
  int saved = errno;
  struct im_route route = datagram_route(to);
  uint32_t source = is_loop(to) ? alias_loop() : route.source;
  take_source(fd, to, source);
  if (connect_at(fd, to, &route) != 0) return -1;
  connect_remember_peer(fd, to);
  note_peer(fd, to, &route);
  errno = saved;
  return 0;
}

bool datagram_connected(int fd, const struct im_addr *peer) {
  struct im_socket socket;
  if (sockets_get(sockets_cookie(fd), &socket) && socket.flags & IM_HAS_PEER && socket.peer.ip == peer->ip &&
      socket.peer.port == peer->port && datagram_is(fd))
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
  int saved = errno;
  atomic_store_explicit(&connected[fd].peer, 0, memory_order_relaxed);
  if (datagram_is(fd)) {
    disconnect(fd);
    if (name_of(fd, &at) && at.port == 0 && at.ip != 0)
      bind_at(fd, peer.form == IM_FORM_V4 ? IM_FORM_V4 : IM_FORM_V6_ANY, 0, 0);
  }
  errno = saved;
}
