#include "connect.h"

#include "handoff.h"
#include "datagram/datagram.h"
#include "core/alias.h"
#include "core/shim.h"
#include "core/kernel.h"
#include "connect/waiting/waiting.h"
#include "replace.h"
#include "core/request.h"
#include "core/room.h"
#include "route.h"
#include "core/sockets.h"
#include "tcp.h"
#include "watches.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/time.h>

#define ASKS 2
#define ROOM_STEP_MS 10
#define ROOM_MS 10000

/* The kernel takes an IPv6 address without its scope too. */
#define IPV6_SHORTEST offsetof(struct sockaddr_in6, sin6_scope_id)

static long send_timeout(int fd) {
  struct timeval time = {0};
  socklen_t size = sizeof time;
  if (libc_getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, &size) != 0) return IM_FOREVER;
  return time.tv_sec || time.tv_usec ? time.tv_sec * 1000L + (time.tv_usec + 999) / 1000 : IM_FOREVER;
}

/* A guest's connect of a TCP socket to an address of the cluster. */
struct call {
  int fd;
  const struct sockaddr *address; /* as the guest gave it */
  socklen_t size;
  struct im_addr to; /* the same */
  struct im_route route;
};

/* The call ends before the connect does, as it would for a connect of the kernel's. */
static int leave_pending(const struct call *call, uint64_t epoch, bool listed, int reply, int error) {
  int result = waiting_start(call->fd, &call->to, epoch, listed, reply);
  return libc_fail(result ? result : error);
}

/* Blocks until the supervisor knows where the host is, then connects; or until it has made the connection. */
static int ask_and_wait(const struct call *call, uint64_t epoch, bool listed) {
  int fd = call->fd;
  struct im_request request = request_connect(fd, &call->to, epoch, listed ? IM_FLAG_LISTED : 0);
  for (int asked = 1;;) {
    struct im_reply answer;
    int passed = -1, reply, result = request_call(&request, true, send_timeout(fd), &answer, &passed, &reply);
    if (result == -EMFILE || result == -ENFILE) return libc_fail(-result);
    if (result == -EINTR || result == -ETIMEDOUT) {
      leave_pending(call, request.epoch, request.flags & IM_FLAG_LISTED, reply, result == -EINTR ? EINTR : EINPROGRESS);
      return libc_fail(room_is_open() && errno == ENOBUFS ? ETIMEDOUT : errno);
    }
    if (reply >= 0) libc_close(reply);
    if (result != 0) {
      request_lost();
      return libc_fail(EHOSTUNREACH);
    }
    if (answer.status) return libc_fail(answer.status);
    if (sockets_cookie(fd) != request.cookie) { /* closed by another thread */
      if (passed >= 0) libc_close(passed);
      return libc_fail(EBADF);
    }
    if (passed >= 0) {
      if (handoff_adopt(fd, passed, &call->to, &answer) == 0) return 0;
      if (errno != ECONNRESET) return -1;
      if (request.flags & IM_FLAG_LISTED) {
        request.flags = 0; /* not from the pool again: a new one */
        continue;
      }
      if (asked++ >= ASKS && !handoff_is_chosen(&call->to, &answer)) return libc_fail(EHOSTUNREACH);
      request.epoch = answer.epoch; /* it may have ended, or its guest */
      continue;
    }
    if (tcp_connect(fd, &call->to, answer.real, answer.real_port, alias_host()) == 0) return 0;
    if (!tcp_worth_locating(errno) || (asked++ >= ASKS && !(answer.flags & IM_REPLY_CHOSEN))) return -1;
    request.epoch = answer.epoch;
  }
}

/*
 * The next call reports the errno of an earlier connect that ended unseen. ECONNRESET is left by the guest's own ending
 * of a connection (shutdown, AF_UNSPEC), and then not reported.
 */
static int error_left(int fd) {
  struct im_socket socket;
  int error = tcp_take_error(fd);
  if (error == ECONNRESET) return 0;
  if (error == ECONNREFUSED && sockets_has(fd, IM_HAS_ERROR, &socket)) error = socket.error;
  if (error) tcp_reset(fd);
  return error;
}

/* The kernel's objection to the socket or the address, before it does anything; 0: none. */
static int objection(const struct call *call) {
  int fd = call->fd, family = kernel_family(fd);
  if (family == AF_INET && call->to.form != IM_FORM_V4) return EAFNOSUPPORT;
  if (family == AF_INET6 && call->to.form == IM_FORM_V4) return call->size < IPV6_SHORTEST ? EINVAL : EAFNOSUPPORT;
  if (family == AF_INET6 && kernel_is_v6_only(fd)) return ENETUNREACH;
  /* A connection that has ended looks like none by its state; a connect to nothing makes the difference. */
  struct sockaddr_storage odd = {.ss_family = AF_UNIX};
  return libc_connect(fd, (struct sockaddr *)&odd, sizeof odd) != 0 && errno == EISCONN ? EISCONN : 0;
}

static int ask(const struct call *call, uint64_t epoch, bool listed) {
  int fd = call->fd;
  if (!tcp_is_closed(fd)) return libc_connect(fd, call->address, call->size); /* EISCONN, EALREADY and the like */
  int error = error_left(fd);
  if (!error) error = objection(call);
  if (error) return libc_fail(error);
  int status = fcntl(fd, F_GETFL);
  if (status < 0) return -1;
  if (!(status & O_NONBLOCK)) return ask_and_wait(call, epoch, listed);
  int reply = -1;
  if (listed && handoff_connect(fd, &call->to, &reply))
    return libc_fail(EINPROGRESS); /* connected, and as writable as the kernel's would be */
  int result = leave_pending(call, epoch, listed, reply, EINPROGRESS);
  /* What socket the guest has, it can connect: rather late than not at all. */
  return result != 0 && errno == ENOBUFS && room_is_open() ? ask_and_wait(call, epoch, listed) : result;
}

/* After a direct connect: whether it failed in a way that may only mean that the location was old. */
static bool went_wrong(const struct call *call, int result) {
  int fd = call->fd, error = result == 0 ? 0 : errno;
  if (error == EINPROGRESS && tcp_is_closed(fd)) error = tcp_take_error(fd);
  /* Without blocking, an error at once is the result of an earlier call: the guest is to see it. */
  else if (tcp_worth_locating(error) && fcntl(fd, F_GETFL) & O_NONBLOCK)
    return false;
  if (tcp_worth_locating(error)) return true;
  if ((result == 0 || error == EINPROGRESS) && !route_holds(&call->to, &call->route)) {
    struct im_request stale = request_connect(fd, &call->to, call->route.epoch, 0);
    stale.op = IM_OP_STALE;
    request_tell(&stale);
  }
  return false;
}

/* Straight to the location of the table; when that was wrong, as if the table had none. */
static int direct(const struct call *call) {
  const struct im_route *route = &call->route;
  /* A failure of the first try is not for epoll sets that already watch fd. */
  bool hidden = watches_hide(call->fd);
  int result = tcp_connect(call->fd, &call->to, route->real, route->real_port, route->source);
  int error = result ? errno : 0;
  if (went_wrong(call, result)) {
    tcp_reset(call->fd);
    result = ask(call, route->epoch, false);
    error = result ? errno : 0;
  }
  if (hidden) watches_show(call->fd);
  if (result) errno = error;
  return result;
}

/* Not of the cluster, and none of our business unless we have bound the socket where there is no way out. */
static int outside(int fd, const struct sockaddr *address, socklen_t size) {
  int result = libc_connect(fd, address, size);
  if (result == 0 || errno != EINVAL) return result;
  bool replaced = kernel_is_tcp(fd) && replace_bound(fd);
  errno = EINVAL;
  return replaced ? libc_connect(fd, address, size) : -1;
}

/* A connect that is taken back (AF_UNSPEC): by the kernel, which then leaves the socket as it does. */
static int disconnect(int fd, const struct sockaddr *address, socklen_t size) {
  struct im_socket socket;
  int result = libc_connect(fd, address, size);
  IM_KEEP_ERRNO;
  uint64_t cookie = result == 0 ? sockets_cookie(fd) : 0;
  if (cookie && sockets_get(cookie, &socket) && socket.flags & (IM_HAS_PEER | IM_HAS_ERROR)) {
    socket.flags &= (uint8_t)~(IM_HAS_PEER | IM_HAS_ERROR);
    /* As the kernel leaves one that was not bound: with its port. */
    if (!(socket.flags & IM_HAS_LOCAL)) {
      socket.local.ip = 0;
      if (socket.local.form == IM_FORM_MAPPED) socket.local.form = IM_FORM_V6_ANY;
    }
    sockets_put(cookie, &socket);
  }
  return result;
}

/* The connect before this one is not over. Without O_NONBLOCK the kernel waits for its end and reports that. */
static int while_pending(const struct call *call, long limit) {
  int fd = call->fd;
  struct pollfd wanted = {.fd = fd, .events = POLLOUT};
  int status = fcntl(fd, F_GETFL);
  if (status & O_NONBLOCK) return libc_fail(EALREADY);
  int ready = poll(&wanted, 1, limit == IM_FOREVER || limit > INT32_MAX ? -1 : (int)limit);
  if (ready < 0) return -1;
  return ready == 0 || !kernel_is_tcp(fd) ? libc_fail(EALREADY) : ask(call, 0, false);
}

static int by_route(const struct call *call) {
  const struct im_route *route = &call->route;
  if (route->kind == IM_ROUTE_LOCATE) return ask(call, 0, route->listed);
  if (route->kind == IM_ROUTE_DIRECT) return direct(call);
  return tcp_connect(call->fd, &call->to, route->real, route->real_port, route->source);
}

/* Other threads may have what room there is, for a moment. */
static int with_room(const struct call *call) {
  room_open();
  int result = by_route(call);
  for (int waited = 0; result != 0 && room_wanted(errno) && waited < ROOM_MS; waited += ROOM_STEP_MS) {
    (void)poll(0, 0, ROOM_STEP_MS);
    result = by_route(call);
  }
  room_close();
  return result;
}

/*
 * TCP_FASTOPEN_CONNECT would let the kernel answer before it knows whether the location is right. An option that is not
 * known, or that the socket's state forbids, is not set.
 */
static void connect_at_once(int fd) {
  int off = 0;
  if (sockets_rare()) libc_setsockopt(fd, IPPROTO_TCP, 30 /* not in every header */, &off, sizeof off);
}

/* True: a connect before this one is not over, and this one has ended with `result`. */
static bool is_second(const struct call *call, bool nowhere, int *result) {
  struct im_guard guard;
  int real;
  if (!waiting_enter(call->fd, &real, &guard)) return false;
  if (nowhere) waiting_give_up(call->fd);
  long limit = nowhere ? 0 : send_timeout(real);
  waiting_leave(&guard);
  if (!nowhere) *result = while_pending(call, limit);
  return !nowhere;
}

int connect_socket(int fd, const struct sockaddr *address, socklen_t size) {
  struct call call = {.fd = fd, .address = address, .size = size};
  struct im_addr *to = &call.to;
  int saved = errno, result;
  if (!shim_active() || !addr_given(address, size)) return libc_connect(fd, address, size);
  datagram_release(fd);
  bool read = addr_read(address, size, to), nowhere = !read && addr_is_nowhere(address, size);
  if (is_second(&call, nowhere, &result)) return result;
  if (nowhere) return disconnect(fd, address, size);
  if (!read) return libc_connect(fd, address, size);
  call.route = route_find(to);
  if (call.route.kind == IM_ROUTE_NATIVE) {
    bool datagrams = addr_is_other_loopback(to->ip) && datagram_route(to).kind != IM_ROUTE_NATIVE && datagram_is(fd);
    return datagrams ? datagram_connect(fd, to) : outside(fd, address, size);
  }
  if (!kernel_is_tcp(fd)) return datagram_is(fd) ? datagram_connect(fd, to) : libc_connect(fd, address, size);
  /* Long enough for an IPv6 socket: the kernel refuses its family. */
  if (to->form == IM_FORM_V4 && size >= IPV6_SHORTEST && kernel_family(fd) == AF_INET6)
    return libc_connect(fd, address, size);
  connect_at_once(fd);
  result = by_route(&call);
  if (result != 0 && room_wanted(errno)) result = with_room(&call);
  if (result == 0) errno = saved;
  return result;
}

/* ---- MSG_FASTOPEN ---- */

static bool is_pending(int fd) {
  struct im_guard guard;
  int real;
  bool pending = waiting_enter(fd, &real, &guard);
  if (pending) waiting_leave(&guard);
  return pending;
}

bool connect_fast_open(int fd, const struct msghdr *message, int flags, ssize_t *sent) {
  int status = 0;
  if (!is_pending(fd) && !kernel_is_tcp(fd)) return false;
  /* The flag of one call; the placeholder takes it from the descriptor, and gives it back to the socket. */
  bool once = flags & MSG_DONTWAIT && (status = fcntl(fd, F_GETFL)) >= 0 && !(status & O_NONBLOCK);
  if (once) fcntl(fd, F_SETFL, status | O_NONBLOCK);
  int result = connect_socket(fd, message->msg_name, message->msg_namelen), error = errno;
  if (once) fcntl(fd, F_SETFL, status);
  errno = error;
  *sent = -1;
  if (result != 0) return true;
  struct msghdr rest = *message;
  rest.msg_name = NULL;
  rest.msg_namelen = 0;
  *sent = libc_sendmsg(fd, &rest, flags & ~MSG_FASTOPEN);
  return true;
}
