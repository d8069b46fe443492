/* Sending: the destination's real address in place of the virtual one, in the guest's own system call. */
#include "datagram.h"

#include "connect/connect.h"
#include "core/alias.h"
#include "recent_peers.h"
#include "core/shim.h"
#include "core/kernel.h"
#include "core/pointer.h"
#include "core/request.h"
#include "core/sockets.h"
#include "core/table.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define LARGEST 65507 /* what a UDP datagram over IPv4 holds */
#define CONTROL 256

/* ---- to a host that is not up ---- */

static bool may_wait(int fd, int flags) { return !(flags & MSG_DONTWAIT) && !(fcntl(fd, F_GETFL) & O_NONBLOCK); }

/*
 * The kernel's objection to the socket (EPIPE, or the error of an earlier datagram), before it looks for the data,
 * which are nowhere. The socket has a port then, as after any sending.
 */
static int objection(int fd, const struct im_addr *to, const struct im_route *route, bool named) {
  struct sockaddr_storage there;
  struct im_addr real = {route->real, 9, addr_plain(to->form)};
  struct iovec nowhere = {(void *)(uintptr_t)1, 1};
  struct msghdr message = {.msg_iov = &nowhere, .msg_iovlen = 1};
  if (named) {
    message.msg_namelen = addr_write(&real, &there);
    message.msg_name = &there;
  }
  if (libc_sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return 0;
  return errno == EPIPE || errno == ECONNREFUSED ? errno : 0;
}

/*
 * How this datagram is to be sent, by its socket as it is now and its control data: the socket may change before it is.
 */
static void note_manner(int fd, const struct msghdr *message, struct im_request *request) {
  int ttl = kernel_int(fd, IPPROTO_IP, IP_TTL, 0) & 0xff, tos = kernel_int(fd, IPPROTO_IP, IP_TOS, 0) & 0xff, value;
  struct im_addr local;
  size_t at = 0;
  for (struct cmsghdr *c; (c = datagram_control(message, &at));) {
    if (c->cmsg_level != IPPROTO_IP) continue;
    struct in_pktinfo chosen;
    bool number = c->cmsg_len >= CMSG_LEN(sizeof value);
    if (number) memcpy(&value, CMSG_DATA(c), sizeof value);
    if (c->cmsg_type == IP_TTL && number && value > 0 && value < 256) ttl = value;
    if (c->cmsg_type == IP_TOS && c->cmsg_len > CMSG_LEN(0)) tos = number ? value & 0xff : *CMSG_DATA(c);
    if (c->cmsg_type != IP_PKTINFO || c->cmsg_len < CMSG_LEN(sizeof chosen)) continue;
    memcpy(&chosen, CMSG_DATA(c), sizeof chosen);
    if (ntohl(chosen.ipi_spec_dst.s_addr) == IM_LOOPBACK) request->real = alias_loop();
  }
  request->scope = (uint32_t)(ttl | tos << 8);
  request->real_port = kernel_local(fd, &local) ? local.port : 0;
}

/*
 * Gives the datagram to the supervisor, which sends it from this very socket when the host is up, as a kernel holds
 * packets while it looks for a neighbour. Its queue may be full: then a blocking sender waits, and another one's
 * datagram is lost.
 */
static ssize_t hold(int fd, const struct im_addr *to, const struct im_route *route, const struct msghdr *message,
                    int flags) {
  struct im_page found = {0};
  size_t size = 0, count = message->msg_iovlen;
  bool few = count <= IM_REQUEST_PARTS;
  if ((few && !pointer_readable(message->msg_iov, count * sizeof *message->msg_iov, &found)) ||
      !pointer_readable(message->msg_control, message->msg_controllen, &found))
    return libc_fail(EFAULT);
  for (size_t i = 0; few && i < count; i++) {
    size += message->msg_iov[i].iov_len;
    if (message->msg_iov[i].iov_len > LARGEST || size > LARGEST) break;
  }
  if (size > LARGEST || !few) return libc_fail(EMSGSIZE);
  int saved = errno, error = objection(fd, to, route, message->msg_name);
  if (error) {
    return libc_fail(error);
  }
  struct im_request request = {.op = IM_OP_DATAGRAM, .address = to->ip, .port = to->port, .real = route->source};
  request.cookie = sockets_cookie(fd);
  note_manner(fd, message, &request);
  int result = request_send_with(-1, &request, message->msg_iov, count, fd, may_wait(fd, flags));
  if (result == -EFAULT) return libc_fail(EFAULT); /* the guest's data is nowhere */
  if (result != 0 && result != -EAGAIN) {
    request_lost();
    return libc_fail(EHOSTUNREACH);
  }
  sockets_traffic();
  errno = saved;
  return (ssize_t)size;
}

/* ---- to one that is ---- */

/* Where an answer comes from decides how the guest sees it (datagram_shown). */
static void note_own(const struct im_addr *to, const struct im_route *route) {
  if (route->kind != IM_ROUTE_LOCAL) return sockets_traffic();
  if (route->real != alias_host()) return;
  if (to->ip == table_cluster()->self)
    recent_peers_forget(IM_LOOPBACK, to->port);
  else
    recent_peers_note(IM_LOOPBACK, to->port);
}

struct rewritten {
  struct sockaddr_storage to;
  union {
    struct cmsghdr align;
    char bytes[CONTROL];
  } control;
};

/*
 * The guest's control data with the source address in it: the kernel takes it for this datagram alone, so that a socket
 * that is bound to no address can speak to other hosts, to itself and to the world.
 */
static bool set_source(struct msghdr *message, const struct im_route *route, struct rewritten *space) {
  struct in_pktinfo source = {.ipi_spec_dst.s_addr = htonl(route->source)};
  struct im_page found = {0};
  if (message->msg_control && message->msg_controllen > sizeof space->control) return false;
  if (!pointer_readable(message->msg_control, message->msg_controllen, &found)) return true;
  size_t given = message->msg_control ? CMSG_ALIGN(message->msg_controllen) : 0;
  if (!given && !route->source) return true;
  if (given + CMSG_SPACE(sizeof source) > sizeof space->control) return false;
  memset(&space->control, 0, sizeof space->control);
  if (given) memcpy(space->control.bytes, message->msg_control, message->msg_controllen);
  message->msg_control = space->control.bytes;
  size_t at = 0;
  for (struct cmsghdr *c; (c = datagram_control(message, &at));) {
    if (c->cmsg_level != IPPROTO_IP || c->cmsg_type != IP_PKTINFO || c->cmsg_len < CMSG_LEN(sizeof source)) continue;
    /* The guest has chosen one of its own addresses: as it knows them. */
    struct in_pktinfo chosen;
    memcpy(&chosen, CMSG_DATA(c), sizeof chosen);
    uint32_t ip = ntohl(chosen.ipi_spec_dst.s_addr);
    if (ip == 0 && route->source) chosen.ipi_spec_dst = source.ipi_spec_dst;
    if (ip == IM_LOOPBACK) chosen.ipi_spec_dst.s_addr = htonl(alias_loop());
    if (ip == table_cluster()->self) chosen.ipi_spec_dst.s_addr = htonl(alias_host());
    memcpy(CMSG_DATA(c), &chosen, sizeof chosen);
    return true;
  }
  if (!route->source) return true;
  struct cmsghdr ours = {.cmsg_len = CMSG_LEN(sizeof source), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO};
  memcpy(space->control.bytes + given, &ours, sizeof ours);
  memcpy(space->control.bytes + given + CMSG_LEN(0), &source, sizeof source);
  message->msg_controllen = (unsigned)(given + CMSG_SPACE(sizeof source));
  return true;
}

/*
 * The source of a datagram to the host's own loopback. A socket without an address needs the loopback alias, as a
 * connected one takes answers from there only; one that is bound keeps its own, where its clients have connected to.
 */
static uint32_t own_source(int fd, const struct im_route *route) {
  struct im_addr at;
  bool to_loop = route->kind == IM_ROUTE_LOCAL && route->real == alias_loop();
  /* On a loopback interface of our own, a socket at 127.0.0.2 or the like is there. */
  if (!to_loop || (route->source && alias_shared())) return route->source;
  bool known = kernel_local(fd, &at);
  if (!route->source) return known && at.ip == 0 ? alias_loop() : 0;
  bool there = known && addr_is_other_loopback(at.ip) && at.ip != alias_loop() && at.ip != alias_host();
  return there ? 0 : route->source;
}

static ssize_t send_at(int fd, const struct msghdr *guests, int flags, const struct im_addr *to,
                       struct im_route *route) {
  struct rewritten space;
  struct msghdr message = *guests;
  struct im_addr there = addr_real(to, route->real, route->real_port);
  message.msg_namelen = addr_write(&there, &space.to);
  message.msg_name = &space.to;
  route->source = own_source(fd, route);
  if (!set_source(&message, route, &space)) return libc_fail(ENOBUFS);
  note_own(to, route);
  return libc_sendmsg(fd, &message, flags);
}

/*
 * A socket that is bound to our loopback alias has no way out, natively it has: with a source of the kernel's choice it
 * does.
 */
static ssize_t send_outside(int fd, const struct msghdr *guests, int flags) {
  ssize_t result = libc_sendmsg(fd, guests, flags);
  struct im_addr at;
  struct im_socket socket;
  if (result >= 0 || errno != EINVAL || guests->msg_control || !guests->msg_name) return result;
  bool ours = kernel_local(fd, &at) && at.ip == alias_host() && sockets_has(fd, IM_HAS_LOCAL, &socket) &&
              !socket.local.ip;
  errno = EINVAL;
  if (!ours) return result;
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
  } control = {
      .header = {.cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo)), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO}};
  struct msghdr message = *guests;
  message.msg_control = &control;
  message.msg_controllen = sizeof control;
  return libc_sendmsg(fd, &message, flags);
}

/*
 * Before a connected socket sends: whether its peer is not up, so that the supervisor must send. `held` is the result
 * then. All sockets that no process of ours connected to the cluster come out of here at once.
 */
static bool hold_connected(int fd, const struct msghdr *message, int flags, ssize_t *held) {
  struct im_addr peer;
  if (!datagram_peer(fd, &peer) || !shim_active()) return false;
  int saved = errno;
  struct im_route route = datagram_route(&peer);
  bool holds = route.kind == IM_ROUTE_LOCATE && datagram_connected(fd, &peer);
  if (route.kind == IM_ROUTE_DIRECT) sockets_traffic();
  if (!holds) datagram_follow(fd, &peer, &route);
  errno = saved;
  if (holds) *held = hold(fd, &peer, &route, message, flags);
  return holds;
}

/* ---- the guest's calls ---- */

ssize_t datagram_send(int fd, const void *data, size_t size, int flags) {
  struct iovec part = {(void *)(uintptr_t)data, size};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  ssize_t held;
  return hold_connected(fd, &message, flags, &held) ? held : libc_send(fd, data, size, flags);
}

/*
 * To read a socket's type costs a fifth of a datagram, so it is read only where a raw socket can be: in a process with
 * CAP_NET_RAW, which no guest on Lambda has.
 */
static bool is_raw(int fd) {
  static _Atomic int may; /* 0: not known; 1: no; 2: yes */
  if (may == 1) return false;
  IM_KEEP_ERRNO;
  if (!may) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
    bool known = syscall(SYS_capget, &header, data) == 0;
    may = !known || data[0].effective & 1u << CAP_NET_RAW ? 2 : 1;
  }
  return may == 2 && !datagram_is(fd);
}

/* The name in `message` can be read. */
static ssize_t send_named(int fd, const struct msghdr *message, int flags) {
  struct im_addr to;
  ssize_t held;
  if (!addr_read(message->msg_name, message->msg_namelen, &to)) return libc_sendmsg(fd, message, flags);
  struct im_route route = datagram_route(&to);
  if (flags & MSG_FASTOPEN && route.kind != IM_ROUTE_NATIVE && connect_fast_open(fd, message, flags, &held))
    return held;
  /* Raw sockets name no port, mostly. */
  if (!to.port || is_raw(fd)) return libc_sendmsg(fd, message, flags);
  if (route.kind == IM_ROUTE_NATIVE) return send_outside(fd, message, flags);
  if (route.kind == IM_ROUTE_LOCATE)
    return datagram_is(fd) ? hold(fd, &to, &route, message, flags) : libc_sendmsg(fd, message, flags);
  return send_at(fd, message, flags, &to, &route);
}

ssize_t datagram_sendmsg(int fd, const struct msghdr *message, int flags) {
  struct im_page found = {0};
  ssize_t held;
  if (!shim_active() || !message || !pointer_readable(message, sizeof *message, &found))
    return libc_sendmsg(fd, message, flags);
  if (!message->msg_name || !message->msg_namelen) {
    bool holds = hold_connected(fd, message, flags, &held);
    return holds ? held : libc_sendmsg(fd, message, flags);
  }
  if (!addr_given(message->msg_name, message->msg_namelen)) return libc_sendmsg(fd, message, flags);
  return send_named(fd, message, flags);
}

ssize_t datagram_sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to,
                        socklen_t to_size) {
  struct iovec part = {(void *)(uintptr_t)data, size};
  struct msghdr message = {
      .msg_name = (void *)(uintptr_t)to, .msg_namelen = to_size, .msg_iov = &part, .msg_iovlen = 1};
  struct im_addr read;
  ssize_t held;
  if (!to) return hold_connected(fd, &message, flags, &held) ? held : libc_sendto(fd, data, size, flags, to, to_size);
  if (!shim_active() || !addr_given(to, to_size) || !addr_read(to, to_size, &read))
    return libc_sendto(fd, data, size, flags, to, to_size);
  if (datagram_route(&read).kind != IM_ROUTE_NATIVE) return send_named(fd, &message, flags);
  ssize_t result = libc_sendto(fd, data, size, flags, to, to_size);
  return result < 0 && errno == EINVAL ? send_outside(fd, &message, flags) : result;
}

static bool concerns_us(int fd, const struct msghdr *message) {
  struct im_addr to;
  if (!message->msg_name || !message->msg_namelen) return datagram_peer(fd, &to);
  return addr_given(message->msg_name, message->msg_namelen) &&
         addr_read(message->msg_name, message->msg_namelen, &to) && datagram_route(&to).kind != IM_ROUTE_NATIVE;
}

/* One by one where an address is ours: each may go another way. */
int datagram_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags) {
  bool ours = false;
  struct im_page found = {0};
  if (shim_active())
    for (unsigned i = 0; i < count && i < 1024 && !ours && pointer_readable(&messages[i], sizeof *messages, &found);
         i++)
      ours = concerns_us(fd, &messages[i].msg_hdr);
  if (!ours) return libc_sendmmsg(fd, messages, count, flags);
  for (unsigned i = 0; i < count && i < 1024; i++) {
    ssize_t size = datagram_sendmsg(fd, &messages[i].msg_hdr, flags);
    /* The kernel too has sent the datagram before it writes the length. */
    if (size >= 0 && !pointer_writable(&messages[i].msg_len, sizeof messages[i].msg_len)) {
      errno = EFAULT;
      size = -1;
    }
    if (size < 0) return i ? (int)i : -1;
    messages[i].msg_len = (unsigned)size;
  }
  return (int)(count < 1024 ? count : 1024);
}
