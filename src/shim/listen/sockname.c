#include "sockname.h"

#include "core/addr.h"
#include "connect/handoff.h"
#include "connect/tcp.h"
#include "core/alias.h"
#include "core/shim.h"
#include "core/kernel.h"
#include "connect/waiting/waiting.h"
#include "core/pointer.h"
#include "core/sockets.h"
#include "core/table.h"

#include <errno.h>
#include <string.h>

typedef int (*name_call)(int, struct sockaddr *, socklen_t *);
typedef bool (*end_call)(int, struct im_addr *);

/* A connection that the supervisor has made shows the addresses that were agreed. */
static bool handoff_shown(int fd, bool peer, struct im_addr *shown) {
  struct im_socket socket;
  if (!table_cluster()->handoff || !sockets_has(fd, IM_IS_HANDOFF, &socket)) return false;
  *shown = peer ? socket.peer : socket.local;
  return true;
}

/* The port as the guest at `address` (virtual, or 127.0.0.1 for our own) knows the real one. */
static uint16_t port_of(uint32_t address, uint32_t real, uint16_t real_port) {
  struct im_port listed;
  uint32_t host = address == IM_LOOPBACK ? table_cluster()->self : address;
  return table_find_real_port(host, real, real_port, IM_SCOPES_STREAM | IM_SCOPES_DATAGRAM, &listed) ? listed.port
                                                                                                     : real_port;
}

/* Whether the other end of a connection is our own loopback alias: then this end is loopback too. */
static bool other_is_loop(int fd, end_call other) {
  struct im_addr there;
  return other(fd, &there) && there.ip == alias_loop();
}

/* Real to virtual without memory. False: the guest sees the kernel's address. */
static bool by_arithmetic(int fd, const struct im_addr *real, end_call other, struct im_addr *shown) {
  uint32_t address;
  if (real->form == IM_FORM_V6_LOOP) {
    *shown = (struct im_addr){IM_LOOPBACK, port_of(IM_LOOPBACK, IM_REAL_LOOPBACK6, real->port), real->form};
    return true;
  }
  if (!alias_virtual(real->ip, &address)) return false;
  if (alias_extra_of(real, IM_SCOPES_STREAM, shown)) return true;
  *shown = (struct im_addr){address, port_of(address, real->ip, real->port), real->form};
  if (real->ip == alias_host() && other_is_loop(fd, other)) shown->ip = IM_LOOPBACK;
  return true;
}

static bool listening(int fd) { return kernel_int(fd, SOL_SOCKET, SO_ACCEPTCONN, 0); }

static bool local_shown(int fd, const struct im_addr *real, struct im_addr *shown) {
  struct im_socket socket = {0};
  struct im_port listed;
  struct im_addr peer;
  uint32_t address;
  bool alias = alias_virtual(real->ip, &address);
  if (!alias && real->form != IM_FORM_V6_LOOP) return handoff_shown(fd, false, shown);
  if (sockets_get(sockets_cookie(fd), &socket) && socket.flags & IM_HAS_LOCAL) {
    *shown = socket.local;
    /* A socket that was bound to the wildcard shows, when connected, the address it is connected from. */
    if (shown->ip || listening(fd)) return true;
    if (!kernel_peer(fd, &peer)) return true;
    by_arithmetic(fd, real, kernel_peer, shown);
    shown->port = socket.local.port;
    return true;
  }
  by_arithmetic(fd, real, kernel_peer, shown);
  if (socket.flags & IM_HAS_PEER && socket.peer.form >= IM_FORM_V6_ANY) shown->form = IM_FORM_V6_LOOP;
  if (table_find_real_port(table_cluster()->self, real->ip, real->port, IM_SCOPES_STREAM, &listed) &&
      listed.scope == IM_SCOPE_ANY && listening(fd))
    *shown = (struct im_addr){0, listed.port, real->form == IM_FORM_V4 ? IM_FORM_V4 : IM_FORM_V6_ANY};
  return true;
}

static bool peer_shown(int fd, const struct im_addr *real, struct im_addr *shown) {
  struct im_socket socket;
  uint32_t address;
  bool ours = real->form == IM_FORM_V6_LOOP || real->ip == IM_RESOLVER || alias_virtual(real->ip, &address);
  if (!ours) return handoff_shown(fd, true, shown);
  if (!sockets_has(fd, IM_HAS_PEER, &socket)) return by_arithmetic(fd, real, kernel_local, shown);
  *shown = socket.peer;
  /* A connect to the wildcard goes to loopback, and shows it. */
  if (!shown->ip) shown->ip = IM_LOOPBACK;
  if (shown->form == IM_FORM_V6_ANY) shown->form = IM_FORM_V6_LOOP;
  return true;
}

/*
 * The real name, in the guest's buffer of `room` bytes too: the kernel writes there first, so that it judges the
 * pointers, and what it can write, so can we. When the buffer cuts the name off, it is read again.
 */
static bool give_real(int fd, struct sockaddr *name, socklen_t *size, name_call call, socklen_t *room,
                      struct sockaddr_storage *address) {
  struct im_page found = {0};
  if (pointer_readable(size, sizeof *size, &found)) *room = *size;
  if (call(fd, name, size) != 0) return false;
  if (*size <= *room && *size <= sizeof *address) {
    memcpy(address, name, *size);
    return true;
  }
  socklen_t full = sizeof *address;
  return call(fd, (struct sockaddr *)address, &full) == 0;
}

static int shown_name(int fd, struct sockaddr *name, socklen_t *size, name_call call,
                      bool (*show)(int, const struct im_addr *, struct im_addr *)) {
  struct sockaddr_storage address;
  struct im_addr real, shown = {0};
  socklen_t room = 0, full;
  int saved = errno;
  if (!give_real(fd, name, size, call, &room, &address)) return -1;
  full = *size;
  if (addr_read(&address, full, &real) && show(fd, &real, &shown)) full = addr_write(&shown, &address);
  addr_give(&address, full, name, &room);
  *size = full;
  errno = saved;
  return 0;
}

int sockname_local(int fd, struct sockaddr *name, socklen_t *size) {
  struct im_guard guard;
  int real;
  if (!shim_active()) return libc_getsockname(fd, name, size);
  if (!waiting_enter(fd, &real, &guard)) return shown_name(fd, name, size, libc_getsockname, local_shown);
  int result = shown_name(real, name, size, libc_getsockname, local_shown);
  waiting_leave(&guard);
  return result;
}

int sockname_peer(int fd, struct sockaddr *name, socklen_t *size) {
  struct im_guard guard;
  int real;
  if (!shim_active()) return libc_getpeername(fd, name, size);
  if (!waiting_enter(fd, &real, &guard)) return shown_name(fd, name, size, libc_getpeername, peer_shown);
  waiting_leave(&guard);
  return libc_fail(ENOTCONN);
}

/* The address that the guest sees of a connection that it has accepted. False with errno: it has accepted none. */
static bool accepted_shown(int listener, int fd, const struct im_addr *real, int flags, struct im_addr *shown) {
  struct im_addr bound = {0}, local = {0};
  if (!handoff_is_signal(real, shown)) {
    if (!by_arithmetic(fd, real, kernel_local, shown)) *shown = *real;
    return true;
  }
  kernel_local(fd, &bound);
  if (!local_shown(fd, &bound, &local)) local = bound;
  return handoff_accept(listener, fd, bound.port, &local, shown, flags);
}

/*
 * Where the connection comes from: the kernel's address in the guest's buffer, or, where that is too small, by
 * getpeername. False with errno, and the connection closed: the connection has ended by then.
 */
static bool accepted_peer(int fd, const struct sockaddr *from, socklen_t size, socklen_t room,
                          struct sockaddr_storage *address, socklen_t *full) {
  if (size <= room && size <= sizeof *address) {
    memcpy(address, from, size);
    *full = size;
    return true;
  }
  if (libc_getpeername(fd, (struct sockaddr *)address, full) == 0) return true;
  libc_close(fd);
  errno = ECONNABORTED;
  return false;
}

int sockname_accept(int fd, struct sockaddr *from, socklen_t *size, int flags,
                    int (*call)(int, struct sockaddr *, socklen_t *, int)) {
  struct sockaddr_storage address;
  struct im_addr real, shown = {0};
  socklen_t full = sizeof address, room = 0;
  struct im_page found = {0};
  if (!shim_active() || (!from && !table_cluster()->handoff)) return call(fd, from, size, flags);
  if (from && pointer_readable(size, sizeof *size, &found)) room = *size;
  int accepted = from ? call(fd, from, size, flags) : call(fd, (struct sockaddr *)&address, &full, flags),
      saved = errno;
  if (accepted < 0) return accepted;
  if (from && !accepted_peer(accepted, from, *size, room, &address, &full)) return -1;
  if (addr_read(&address, full, &real)) {
    if (!accepted_shown(fd, accepted, &real, flags, &shown)) return -1;
    full = addr_write(&shown, &address);
  }
  if (from) {
    addr_give(&address, full, from, &room);
    *size = full;
  }
  errno = saved;
  return accepted;
}

void sockname_error(int fd, int level, int option, void *value, const socklen_t *size) {
  struct im_socket socket;
  int error = 0;
  IM_KEEP_ERRNO;
  if (level != SOL_SOCKET || option != SO_ERROR || *size != sizeof error) return;
  memcpy(&error, value, sizeof error);
  bool unreachable = error == EHOSTUNREACH || error == ENETUNREACH;
  /* nginx asks before each request that it passes on: without an error this makes no call of its own. */
  if ((!unreachable && error != ECONNREFUSED) || !shim_active()) return;
  uint64_t cookie = sockets_cookie(fd);
  /*
   * What a router has said of a connection that stands: no result of its connect, which the guest asks for. Of a pooled
   * one it may be about the header, which is older than the guest's connect.
   */
  if (unreachable) {
    if (!sockets_get(cookie, &socket) || !(socket.flags & IM_IS_HANDOFF) || tcp_state(fd) != IM_CONNECTED) return;
    memset(value, 0, sizeof error);
    return;
  }
  if (sockets_get(cookie, &socket) && socket.flags & IM_HAS_ERROR) {
    error = socket.error;
    memcpy(value, &error, sizeof error);
    socket.flags &= (uint8_t)~IM_HAS_ERROR;
    sockets_put(cookie, &socket);
  }
}

void sockname_domain(int fd, int level, int option, void *value, const socklen_t *size) {
  int family = 0;
  IM_KEEP_ERRNO;
  if (level != SOL_SOCKET || option != SO_DOMAIN || *size != sizeof family || !shim_active()) return;
  memcpy(&family, value, sizeof family);
  if (family == AF_INET6 && handoff_is_four(fd)) family = AF_INET;
  memcpy(value, &family, sizeof family);
}
