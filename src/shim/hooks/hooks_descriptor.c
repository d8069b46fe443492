/* A descriptor that is watched, closed or replaced while a placeholder stands at it. */
#include "hook.h"
#include "core/shim.h"
#include "connect/waiting/waiting.h"
#include "connect/watches.h"

HOOK(int, epoll_ctl, (int set, int op, int fd, struct epoll_event *event)) {
  struct im_guard guard;
  int real;
  /* While a placeholder stands at fd, the call and the note of it must not be torn apart by the swap. */
  bool pending = waiting_enter(fd, &real, &guard);
  int result = libc_epoll_ctl(set, op, fd, event);
  if (result == 0 && shim_active()) watches_note(set, op, fd, event);
  if (pending) waiting_leave(&guard);
  return result;
}

HOOK(int, close, (int fd)) {
  struct im_guard guard;
  int real;
  if (!waiting_enter(fd, &real, &guard)) return libc_close(fd);
  waiting_forget(fd);
  int result = libc_close(fd);
  waiting_leave(&guard);
  return result;
}

/* A duplicate of a placeholder gets the socket too when it is there. */
static int copied(int from, int to) {
  struct im_guard guard;
  int real;
  if (to < 0 || !waiting_enter(from, &real, &guard)) return to;
  waiting_copied(from, to);
  waiting_leave(&guard);
  return to;
}

HOOK(int, dup, (int fd)) { return copied(fd, libc_dup(fd)); }

HOOK(int, dup2, (int from, int to)) {
  struct im_guard guard;
  int real;
  if (from == to || !waiting_enter(to, &real, &guard)) return copied(from, libc_dup2(from, to));
  int result = libc_dup2(from, to);
  if (result >= 0) waiting_forget(to);
  waiting_leave(&guard);
  return copied(from, result);
}

HOOK(int, dup3, (int from, int to, int flags)) {
  struct im_guard guard;
  int real;
  if (from == to || !waiting_enter(to, &real, &guard)) return copied(from, libc_dup3(from, to, flags));
  int result = libc_dup3(from, to, flags);
  if (result >= 0) waiting_forget(to);
  waiting_leave(&guard);
  return copied(from, result);
}

HOOK_ALIAS(close, __close)
HOOK_ALIAS(dup2, __dup2)
