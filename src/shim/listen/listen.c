#include "listen.h"

#include "core/addr.h"
#include "datagram/datagram.h"
#include "core/alias.h"
#include "core/init.h"
#include "leftover.h"
#include "connect/pending.h"
#include "connect/replace.h"
#include "core/request.h"
#include "core/sockets.h"
#include "core/table.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#define LOW_PORTS IM_LOW_PORTS

/* How long listen() waits for the table to list the port. */
#define ANNOUNCE_MS 5000

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static int option(int fd, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  return libc_getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
}

static bool is_stream(int fd) {
  int protocol = option(fd, SO_PROTOCOL);
  return option(fd, SO_TYPE) == SOCK_STREAM && (protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP);
}

/* What `address` names for this socket. False: an address of another family, which the kernel refuses as it likes. */
static bool read_for(int fd, const struct sockaddr *address, socklen_t size, struct im_addr *to) {
  int family = option(fd, SO_DOMAIN);
  if (addr_read(address, size, to)) return family == (to->form == IM_FORM_V4 ? AF_INET : AF_INET6);
  /* The kernel takes the IPv4 wildcard without a family too. */
  struct sockaddr_in in;
  if (family != AF_INET || size < sizeof in || size > sizeof(struct sockaddr_storage) ||
      !addr_is_nowhere(address, size))
    return false;
  memcpy(&in, address, sizeof in);
  *to = (struct im_addr){0, ntohs(in.sin_port), IM_FORM_V4};
  return in.sin_addr.s_addr == 0;
}

static bool is_v6_only(int fd) {
  int only = 0;
  socklen_t size = sizeof only;
  return libc_getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &size) == 0 && only;
}

static bool is_loopback(const struct im_addr *address) { return address->ip == IM_LOOPBACK; }

/* Whether an address that a guest binds is one of those that we stand for. */
static bool is_own(const struct im_addr *address) {
  return address->ip == 0 || is_loopback(address) || address->ip == table_cluster()->self ||
         alias_is_extra(address->ip);
}

static int bind_at(int fd, uint8_t form, uint32_t ip, uint16_t port) {
  struct sockaddr_storage address;
  struct im_addr at = {ip, port, form};
  socklen_t size = addr_write(&at, &address);
  return libc_bind(fd, (struct sockaddr *)&address, size);
}

/*
 * Whether a real port is taken by what need not be there: another port of ours that had to move, or an earlier life of
 * this host.
 */
static bool taken_by_the_way(uint32_t real, uint16_t real_port, uint16_t port) {
  struct im_port listed;
  if (table_find_real_port(table_cluster()->self, real, real_port, IM_SCOPES_STREAM, &listed))
    return listed.port != port;
  if (!alias_shared()) return false;
  return table_find_extra(real, real_port, IM_SCOPES_STREAM, &listed) ||
         leftover_only(real, real_port, table_cluster()->started);
}

/* Binds at a real address, to the port itself where that is allowed and free of our own mappings. */
static int bind_port(int fd, uint8_t form, uint32_t real, const struct im_addr *to) {
  bool alias = alias_is_extra(to->ip);
  struct im_port listed;
  uint16_t port = to->port && to->port < 1024 ? LOW_PORTS + to->port : to->port;
  unsigned scopes = is_loopback(to) || alias ? 1u << IM_SCOPE_LOOPBACK : IM_SCOPES_REMOTE;
  if (alias) port = 0;
  if (to->port && table_find_port(alias ? to->ip : table_cluster()->self, to->port, scopes, &listed) &&
      listed.real == real)
    port = listed.real_port;
  int result = bind_at(fd, form, real, port);
  if (result != 0 && errno == EADDRINUSE && port && !alias && taken_by_the_way(real, port, to->port))
    result = bind_at(fd, form, real, 0);
  return result;
}

/* A listener for IPv6 only: at the real ::1, that all hosts of a machine share, so perhaps at another port. */
static int bind_loopback6(int fd, const struct im_addr *to) {
  struct im_port listed;
  bool ours = to->port && table_find_port(table_cluster()->self, to->port, 1u << IM_SCOPE_LOOPBACK6, &listed);
  uint16_t port = ours ? listed.real_port : to->port && to->port < 1024 ? LOW_PORTS + to->port : to->port;
  int result = bind_at(fd, IM_FORM_V6_LOOP, 0, port);
  return result != 0 && errno == EADDRINUSE && port && !ours ? bind_at(fd, IM_FORM_V6_LOOP, 0, 0) : result;
}

static void remember(int fd, const struct im_addr *to, uint8_t flags) {
  struct im_socket socket = {.flags = IM_HAS_LOCAL | flags, .local = *to};
  if (!socket.local.port) {
    struct sockaddr_storage address;
    struct im_addr bound;
    socklen_t size = sizeof address;
    if (libc_getsockname(fd, (struct sockaddr *)&address, &size) == 0 && addr_read(&address, size, &bound))
      socket.local.port = bound.port;
  }
  sockets_put(sockets_cookie(fd), &socket);
}

int listen_bind(int fd, const struct sockaddr *address, socklen_t size) {
  struct im_addr to;
  int saved = errno, result;
  bool ours = im_active() && addr_given(address, size) && read_for(fd, address, size, &to) && is_own(&to);
  errno = saved;
  if (!ours) return libc_bind(fd, address, size);
  if (!is_stream(fd)) {
    bool datagrams = datagram_is(fd);
    errno = saved;
    return datagrams ? datagram_bind(fd, address, size, &to) : libc_bind(fd, address, size);
  }
  uint8_t form = to.form == IM_FORM_V4 ? IM_FORM_V4 : IM_FORM_MAPPED, flags = 0;
  /*
   * Of the kernel's choice: no other host can mean it, and it may be a client's source. `move_alias` follows if it
   * listens.
   */
  if (alias_is_extra(to.ip) && !to.port) return libc_bind(fd, address, size);
  uint32_t real = is_loopback(&to) || alias_is_extra(to.ip) ? alias_loop() : alias_host();
  if (form == IM_FORM_MAPPED && is_v6_only(fd)) {
    /* The cluster speaks IPv4 only: such a listener is granted for the host itself. */
    if (to.form == IM_FORM_MAPPED) return libc_bind(fd, address, size);
    flags = IM_ONLY_V6;
    result = bind_loopback6(fd, &to);
  } else {
    result = bind_port(fd, form, real, &to);
    if (result != 0 && errno == EADDRINUSE && to.form == IM_FORM_V6_LOOP) {
      /* [::1]:port next to 127.0.0.1:port is no conflict natively. */
      flags = IM_ONLY_V6;
      result = bind_loopback6(fd, &to);
    }
  }
  if (result == 0) {
    remember(fd, &to, flags);
    errno = saved;
  }
  return result;
}

/* listen() without bind(): the kernel would choose a port at the wildcard. */
static void bind_unbound(int fd) {
  struct sockaddr_storage address;
  struct im_addr at;
  socklen_t size = sizeof address;
  if (libc_getsockname(fd, (struct sockaddr *)&address, &size) != 0) return;
  if (!addr_read(&address, size, &at) || at.port || at.ip || !is_stream(fd)) return;
  (void)listen_bind(fd, (struct sockaddr *)&address, size);
}

/*
 * A port of the kernel's choice at 127.0.0.2 or the like is the machine's: what listens there listens at our own
 * loopback loopback alias.
 */
static void move_alias(int fd) {
  struct sockaddr_storage address;
  struct im_addr at;
  socklen_t size = sizeof address;
  if (!alias_shared() || libc_getsockname(fd, (struct sockaddr *)&address, &size) != 0) return;
  if (!addr_read(&address, size, &at) || !alias_is_extra(at.ip) || !is_stream(fd)) return;
  int fresh = socket(at.form == IM_FORM_V4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fresh < 0) return;
  replace_options(fd, fresh);
  replace_owner(fd, fresh);
  if (bind_at(fresh, at.form, alias_loop(), 0) == 0 && replace_with(fd, fresh)) remember(fd, &at, 0);
  libc_close(fresh);
}

/* Tells the supervisor, and returns when the table lists the port. */
static void announce(int fd) {
  struct sockaddr_storage address;
  struct im_addr at;
  struct im_socket socket = {0};
  struct im_reply answer;
  socklen_t size = sizeof address;
  if (libc_getsockname(fd, (struct sockaddr *)&address, &size) != 0 || !addr_read(&address, size, &at)) return;
  uint64_t cookie = sockets_cookie(fd);
  bool known = sockets_get(cookie, &socket) && socket.flags & IM_HAS_LOCAL;
  bool only_v6 = known && socket.flags & IM_ONLY_V6, alias = known && alias_is_extra(socket.local.ip);
  if (!only_v6 && at.ip != alias_host() && at.ip != alias_loop()) return;
  struct im_request request = {.op = IM_OP_LISTEN,
                               .cookie = cookie,
                               .address = alias ? socket.local.ip : table_cluster()->self,
                               .port = known ? socket.local.port : at.port,
                               .real_port = at.port,
                               .real = only_v6 ? IM_REAL_LOOPBACK6 : at.ip,
                               .scope = IM_SCOPE_ANY};
  if (only_v6)
    request.scope = IM_SCOPE_LOOPBACK6;
  else if (at.ip == alias_loop())
    request.scope = IM_SCOPE_LOOPBACK;
  else if (known && socket.local.ip == table_cluster()->self)
    request.scope = IM_SCOPE_HOST;
  int reply = request_ask(&request, true);
  if (reply < 0 || request_wait(reply, &answer, 0, ANNOUNCE_MS) == -EPIPE) request_lost();
  if (reply >= 0) libc_close(reply);
}

int listen_start(int fd, int backlog) {
  if (!im_active()) return libc_listen(fd, backlog);
  int saved = errno;
  bind_unbound(fd);
  move_alias(fd);
  errno = saved;
  int result = libc_listen(fd, backlog);
  if (result == 0) {
    if (is_stream(fd)) announce(fd);
    errno = saved;
  }
  return result;
}
