#include "listen.h"

#include "core/addr.h"
#include "datagram/datagram.h"
#include "core/alias.h"
#include "core/shim.h"
#include "core/kernel.h"
#include "own_port.h"
#include "connect/replace.h"
#include "core/request.h"
#include "core/sockets.h"
#include "core/table.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

static bool is_stream(int fd) { return kernel_int(fd, SOL_SOCKET, SO_TYPE, 0) == SOCK_STREAM && kernel_is_tcp(fd); }

/* What `address` names for this socket. False: an address of another family, which the kernel refuses as it likes. */
static bool read_for(int fd, const struct sockaddr *address, socklen_t size, struct im_addr *to) {
  int family = kernel_int(fd, SOL_SOCKET, SO_DOMAIN, 0);
  if (addr_read(address, size, to)) return family == addr_family(to->form);
  /* The kernel takes the IPv4 wildcard without a family too. */
  struct sockaddr_in in;
  if (family != AF_INET || size < sizeof in || size > sizeof(struct sockaddr_storage) ||
      !addr_is_nowhere(address, size))
    return false;
  memcpy(&in, address, sizeof in);
  *to = (struct im_addr){0, ntohs(in.sin_port), IM_FORM_V4};
  return in.sin_addr.s_addr == 0;
}

/* Whether an address that a guest binds is one of those that we stand for. */
static bool is_own(const struct im_addr *address) {
  return address->ip == 0 || address->ip == table_cluster()->self || alias_is_loop(address->ip);
}

static void remember(int fd, const struct im_addr *to, uint8_t flags) {
  struct im_socket socket = {.flags = IM_HAS_LOCAL | flags, .local = *to};
  struct im_addr bound;
  if (!to->port && kernel_local(fd, &bound)) socket.local.port = bound.port;
  sockets_put(sockets_cookie(fd), &socket);
}

int listen_bind(int fd, const struct sockaddr *address, socklen_t size) {
  struct im_addr to;
  int saved = errno, result;
  bool ours = shim_active() && addr_given(address, size) && read_for(fd, address, size, &to) && is_own(&to);
  if (!ours) return libc_bind(fd, address, size);
  if (!is_stream(fd)) return datagram_is(fd) ? datagram_bind(fd, address, size, &to) : libc_bind(fd, address, size);
  /*
   * Of the kernel's choice: no other host can mean it, and it may be a client's source. `move_extra` follows if it
   * listens.
   */
  if (alias_is_extra(to.ip) && !to.port) return libc_bind(fd, address, size);
  bool only_v6 = to.form != IM_FORM_V4 && kernel_is_v6_only(fd);
  /* The cluster speaks IPv4 only: a listener for IPv6 only is granted for the host itself. */
  if (only_v6 && to.form == IM_FORM_MAPPED) return libc_bind(fd, address, size);
  result = only_v6 ? own_port_bind6(fd, &to) : own_port_bind(fd, &to, false);
  if (!only_v6 && result != 0 && errno == EADDRINUSE && to.form == IM_FORM_V6_LOOP) {
    /* [::1]:port next to 127.0.0.1:port is no conflict natively. */
    only_v6 = true;
    result = own_port_bind6(fd, &to);
  }
  if (result == 0) {
    remember(fd, &to, only_v6 ? IM_ONLY_V6 : 0);
    errno = saved;
  }
  return result;
}

/* listen() without bind(): the kernel would choose a port at the wildcard. */
static void bind_unbound(int fd) {
  struct sockaddr_storage address;
  struct im_addr at;
  if (!kernel_local(fd, &at) || at.port || at.ip || !is_stream(fd)) return;
  socklen_t size = addr_write(&at, &address);
  (void)listen_bind(fd, (struct sockaddr *)&address, size);
}

/*
 * A port of the kernel's choice at 127.0.0.2 or the like is the machine's: a listener there moves to our own loopback
 * alias.
 */
static void move_extra(int fd) {
  struct im_addr at;
  if (!alias_shared() || !kernel_local(fd, &at) || !alias_is_extra(at.ip) || !is_stream(fd)) return;
  int fresh = socket(addr_family(at.form), SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fresh < 0) return;
  replace_options(fd, fresh);
  replace_owner(fd, fresh);
  struct im_addr moved = {alias_loop(), 0, at.form};
  if (kernel_bind(fresh, &moved) == 0 && replace_with(fd, fresh)) remember(fd, &at, 0);
  libc_close(fresh);
}

static uint32_t scope_of(const struct im_addr *guest, const struct im_addr *real) {
  if (real->ip == IM_REAL_LOOPBACK6) return IM_SCOPE_LOOPBACK6;
  if (real->ip == alias_loop()) return IM_SCOPE_LOOPBACK;
  return guest->ip == table_cluster()->self ? IM_SCOPE_HOST : IM_SCOPE_ANY;
}

/* Reports the listener to the supervisor, and returns when the table lists the port. */
static void announce(int fd) {
  struct im_addr real;
  struct im_socket socket = {0};
  if (!kernel_local(fd, &real)) return;
  uint64_t cookie = sockets_cookie(fd);
  /* What the shim has not bound is known by its real port, at the wildcard. */
  if (!sockets_get(cookie, &socket) || !(socket.flags & IM_HAS_LOCAL))
    socket = (struct im_socket){.local = {.port = real.port}};
  if (socket.flags & IM_ONLY_V6)
    real.ip = IM_REAL_LOOPBACK6;
  else if (real.ip != alias_host() && real.ip != alias_loop())
    return;
  request_listen(cookie, &socket.local, &real, scope_of(&socket.local, &real));
}

int listen_start(int fd, int backlog) {
  if (!shim_active()) return libc_listen(fd, backlog);
  int saved = errno;
  bind_unbound(fd);
  move_extra(fd);
  errno = saved;
  int result = libc_listen(fd, backlog);
  if (result == 0) {
    if (is_stream(fd)) announce(fd);
    errno = saved;
  }
  return result;
}
