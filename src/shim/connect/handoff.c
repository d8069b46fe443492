#include "handoff.h"

#include "tcp.h"
#include "core/alias.h"
#include "replace.h"
#include "core/kernel.h"
#include "core/request.h"
#include "core/room.h"
#include "core/sockets.h"
#include "core/table.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>

/* The supervisor answers these at once; yet a machine may be busy. */
#define ACCEPT_MS 5000
#define BYTE_MS 1000
#define READY_MS 50 /* then the guest goes on, as if none were ready */

bool handoff_is_chosen(const struct im_addr *to, const struct im_reply *reply) {
  return reply->real && reply->real != to->ip;
}

static void remember(int fd, const struct im_addr *local, const struct im_addr *peer, const struct im_reply *reply,
                     uint8_t flags) {
  struct im_socket socket = {
      .flags = IM_HAS_PEER | IM_IS_HANDOFF | flags, .local = *local, .peer = *peer, .epoch = reply->epoch};
  if (handoff_is_chosen(peer, reply)) socket.host = reply->real;
  sockets_put(sockets_cookie(fd), &socket);
}

void handoff_prepare(int like, int fresh, const struct im_addr *to, const struct im_reply *reply) {
  struct im_addr local = {table_cluster()->self, reply->real_port, addr_plain(to->form)};
  replace_family(like, fresh);
  remember(fresh, &local, to, reply, sockets_bound_port(sockets_cookie(like)) ? IM_HAS_LOCAL : 0);
  replace_options(like, fresh);
  replace_owner(like, fresh);
  /* Natively nothing that is accepted has it from its listener. */
  replace_option(like, fresh, IPPROTO_TCP, TCP_DEFER_ACCEPT);
}

static int put(int fd, int fresh, const struct im_addr *to, const struct im_reply *reply) {
  handoff_prepare(fd, fresh, to, reply);
  int result = replace_with(fd, fresh) ? 0 : -1;
  IM_KEEP_ERRNO;
  libc_close(fresh);
  return result;
}

bool handoff_stands(int fresh) { return tcp_state(fresh) == IM_CONNECTED; }

int handoff_adopt(int fd, int fresh, const struct im_addr *to, const struct im_reply *reply) {
  /* The supervisor's connect did not block, so for the kernel its result is still to be fetched. */
  if (kernel_connect(fresh, to) == 0 || errno == EISCONN) return put(fd, fresh, to, reply);
  libc_close(fresh);
  return libc_fail(ECONNRESET);
}

/* Not interrupted by signals: the call is short. */
static int call(const struct im_request *request, bool wait, long milliseconds, struct im_reply *answer, int *passed,
                int *reply) {
  int result = request_call(request, wait, milliseconds, answer, passed, reply);
  while (result == -EINTR && *reply >= 0) result = request_wait(*reply, answer, passed, milliseconds);
  return result;
}

bool handoff_connect(int fd, const struct im_addr *to, int *reply) {
  struct im_reply answer;
  struct im_request request = request_connect(fd, to, 0, IM_FLAG_NONBLOCK | IM_FLAG_LISTED | IM_FLAG_READY);
  IM_KEEP_ERRNO;
  int passed = -1, result = call(&request, false, READY_MS, &answer, &passed, reply);
  bool dead = result == 0 && passed >= 0 && !handoff_stands(passed);
  if (dead) libc_close(passed);
  bool done = result == 0 && passed >= 0 && !dead && put(fd, passed, to, &answer) == 0;
  bool follows = result == -ETIMEDOUT || (result == 0 && answer.status == EAGAIN);
  if (*reply >= 0 && !follows) {
    libc_close(*reply);
    *reply = -1;
  }
  return done;
}

bool handoff_is_four(int fd) {
  struct im_socket socket;
  return table_cluster()->handoff && sockets_has(fd, IM_IS_HANDOFF, &socket) && socket.peer.form == IM_FORM_V4;
}

bool handoff_is_signal(const struct im_addr *real, struct im_addr *from) {
  uint32_t address;
  if (!table_cluster()->handoff) return false;
  if (real->ip == table_cluster()->alias_base) { /* a client from outside: the reply has its address */
    *from = (struct im_addr){0, real->port, real->form};
    return true;
  }
  if (!alias_virtual(real->ip, &address)) return false;
  if (address == IM_LOOPBACK || address == table_cluster()->self) return false;
  *from = (struct im_addr){address, real->port, real->form};
  return true;
}

bool handoff_accept(int listener, int accepted, uint16_t real_port, const struct im_addr *local, struct im_addr *from,
                    int flags) {
  struct im_reply answer;
  int priority = 0; /* not inherited */
  struct im_request request = {.op = IM_OP_ACCEPT, .address = from->ip, .port = from->port, .real_port = real_port};
  int passed = -1, reply, result = call(&request, true, ACCEPT_MS, &answer, &passed, &reply);
  if (result == -EMFILE && reply < 0) {
    room_open();
    result = call(&request, true, ACCEPT_MS, &answer, &passed, &reply);
    room_close();
  }
  if (reply >= 0) libc_close(reply);
  int fresh = result < 0 ? result : answer.status ? -answer.status : passed;
  if (fresh < 0) {
    /* The byte that follows the signal: unread, the guest would read it, or the end here would become a reset. */
    char byte;
    struct pollfd follows = {.fd = accepted, .events = POLLIN};
    (void)poll(&follows, 1, BYTE_MS);
    libc_recvfrom(accepted, &byte, 1, MSG_DONTWAIT, NULL, NULL);
  }
  if (fresh == -EMFILE || fresh == -ENFILE) {
    libc_close(accepted);
    errno = -fresh;
    return false;
  }
  if (fresh < 0) {
    libc_shutdown(accepted, SHUT_RDWR);
    return true;
  }
  from->port = answer.real_port;
  from->ip = answer.real;
  replace_family(listener, fresh);
  remember(fresh, local, from, &answer, 0);
  replace_options(listener, fresh);
  libc_setsockopt(fresh, SOL_SOCKET, SO_PRIORITY, &priority, sizeof priority);
  replace_option(listener, fresh, IPPROTO_TCP, TCP_NODELAY); /* nothing of ours was sent on this side */
  fcntl(fresh, F_SETFL, flags & SOCK_NONBLOCK ? O_RDWR | O_NONBLOCK : O_RDWR);
  libc_dup3(fresh, accepted, flags & SOCK_CLOEXEC ? O_CLOEXEC : 0);
  libc_close(fresh);
  return true;
}
