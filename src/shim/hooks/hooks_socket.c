#include "connect/connect.h"
#include "core/libc_waits.h"
#include "hook.h"
#include "interrupts/interrupts.h"
#include "listen/listen.h"
#include "connect/waiting/waiting.h"
#include "connect/replace.h"
#include "listen/sockname.h"

HOOK(int, connect, (int fd, const struct sockaddr *to, socklen_t size)) {
  int result, calls = 0;
  /* The kernel's connect goes on meanwhile, and the same call again waits for its end. */
  IM_WAIT_SOCKET(fd, SO_SNDTIMEO, EINPROGRESS,
                 result = calls++ ? libc_connect(fd, to, size) : connect_socket(fd, to, size), result < 0);
  return result;
}

HOOK(int, bind, (int fd, const struct sockaddr *to, socklen_t size)) { return listen_bind(fd, to, size); }

HOOK(int, listen, (int fd, int backlog)) { return listen_start(fd, backlog); }

static int plain_accept(int fd, struct sockaddr *from, socklen_t *size, int flags) {
  (void)flags;
  return libc_accept(fd, from, size);
}

HOOK(int, accept, (int fd, struct sockaddr *from, socklen_t *size)) {
  int result;
  IM_WAIT_SOCKET(fd, SO_RCVTIMEO, EAGAIN, result = sockname_accept(fd, from, size, 0, plain_accept), result < 0);
  return result;
}

HOOK(int, accept4, (int fd, struct sockaddr *from, socklen_t *size, int flags)) {
  int result;
  IM_WAIT_SOCKET(fd, SO_RCVTIMEO, EAGAIN, result = sockname_accept(fd, from, size, flags, libc_accept4), result < 0);
  return result;
}

HOOK(int, shutdown, (int fd, int how)) {
  struct im_guard guard;
  int real;
  if (how >= SHUT_RD && how <= SHUT_RDWR && waiting_enter(fd, &real, &guard)) {
    waiting_give_up(fd);
    waiting_leave(&guard);
  }
  return libc_shutdown(fd, how);
}

HOOK(int, getsockname, (int fd, struct sockaddr *name, socklen_t *size)) { return sockname_local(fd, name, size); }

HOOK(int, getpeername, (int fd, struct sockaddr *name, socklen_t *size)) { return sockname_peer(fd, name, size); }

HOOK(int, getsockopt, (int fd, int level, int option, void *value, socklen_t *size)) {
  struct im_guard guard;
  int real, result;
  if (waiting_enter(fd, &real, &guard)) {
    result = libc_getsockopt(real, level, option, value, size);
    waiting_leave(&guard);
  } else {
    result = libc_getsockopt(fd, level, option, value, size);
    if (result == 0) sockname_error(fd, level, option, value, size);
    if (result == 0) sockname_domain(fd, level, option, value, size);
  }
  return result;
}

HOOK(int, setsockopt, (int fd, int level, int option, const void *value, socklen_t size)) {
  struct im_guard guard;
  int real;
  replace_note(level, option);
  interrupts_note_option(level, option);
  if (!waiting_enter(fd, &real, &guard)) return libc_setsockopt(fd, level, option, value, size);
  int result = libc_setsockopt(real, level, option, value, size);
  waiting_leave(&guard);
  return result;
}

HOOK_ALIAS(connect, __connect)
