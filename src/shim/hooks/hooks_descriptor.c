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

/* `flags`: of dup3; NULL: dup2. */
static int duplicated(int from, int to, const int *flags) {
  struct im_guard guard;
  int real;
  bool pending = from != to && waiting_enter(to, &real, &guard);
  int result = flags ? libc_dup3(from, to, *flags) : libc_dup2(from, to);
  if (pending && result >= 0) waiting_forget(to);
  if (pending) waiting_leave(&guard);
  return copied(from, result);
}

HOOK(int, dup2, (int from, int to)) { return duplicated(from, to, 0); }

HOOK(int, dup3, (int from, int to, int flags)) { return duplicated(from, to, &flags); }

HOOK_ALIAS(close, __close)
HOOK_ALIAS(dup2, __dup2)
