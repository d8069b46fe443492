/* The real functions behind the hooks of hooks_wait.c; as libc.h, which see. */
#ifndef IMAGINARY_LIBC_WAITS_H
#define IMAGINARY_LIBC_WAITS_H

#include "libc.h"

#include <poll.h>
#include <sys/select.h>
#include <sys/types.h>

/* Structures that are only passed on are not named: io_event is libaio's, and not everywhere is aiocb. */
#define IM_LIBC_WAIT_FUNCTIONS(X) \
  X(int, poll, (struct pollfd * set, nfds_t count, int timeout), (set, count, timeout), -1) \
  X(int, __poll_chk, (struct pollfd * set, nfds_t count, int timeout, size_t room), (set, count, timeout, room), -1) \
  X(int, ppoll, (struct pollfd * set, nfds_t count, const struct timespec *timeout, const sigset_t *mask), \
    (set, count, timeout, mask), -1) \
  X(int, __ppoll_chk, \
    (struct pollfd * set, nfds_t count, const struct timespec *timeout, const sigset_t *mask, size_t room), \
    (set, count, timeout, mask, room), -1) \
  X(int, select, (int count, fd_set *in, fd_set *out, fd_set *rest, struct timeval *timeout), \
    (count, in, out, rest, timeout), -1) \
  X(int, pselect, \
    (int count, fd_set *in, fd_set *out, fd_set *rest, const struct timespec *timeout, const sigset_t *mask), \
    (count, in, out, rest, timeout, mask), -1) \
  X(int, epoll_wait, (int set, struct epoll_event *events, int room, int timeout), (set, events, room, timeout), -1) \
  X(int, epoll_pwait, (int set, struct epoll_event *events, int room, int timeout, const sigset_t *mask), \
    (set, events, room, timeout, mask), -1) \
  X(int, epoll_pwait2, \
    (int set, struct epoll_event *events, int room, const struct timespec *timeout, const sigset_t *mask), \
    (set, events, room, timeout, mask), -1) \
  X(int, nanosleep, (const struct timespec *time, struct timespec *left), (time, left), -1) \
  X(int, clock_nanosleep, (clockid_t clock, int flags, const struct timespec *time, struct timespec *left), \
    (clock, flags, time, left), ENOSYS) \
  X(int, usleep, (useconds_t time), (time), -1) \
  X(unsigned, sleep, (unsigned time), (time), time) \
  X(int, thrd_sleep, (const struct timespec *time, struct timespec *left), (time, left), -2) \
  X(int, sigwait, (const sigset_t *set, int *number), (set, number), ENOSYS) \
  X(int, sigwaitinfo, (const sigset_t *set, siginfo_t *info), (set, info), -1) \
  X(int, sigtimedwait, (const sigset_t *set, siginfo_t *info, const struct timespec *timeout), (set, info, timeout), \
    -1) \
  X(int, sigaction, (int number, const struct sigaction *action, struct sigaction *before), (number, action, before), \
    -1) \
  X(int, pause, (void), (), -1) \
  X(int, sigsuspend, (const sigset_t *mask), (mask), -1) \
  X(int, sigpause, (int mask), (mask), -1) \
  X(int, __sigpause, (int what, int is_signal), (what, is_signal), -1) \
  X(int, __xpg_sigpause, (int number), (number), -1) \
  X(int, semop, (int id, void *operations, size_t count), (id, operations, count), -1) \
  X(int, semtimedop, (int id, void *operations, size_t count, const struct timespec *timeout), \
    (id, operations, count, timeout), -1) \
  X(int, msgsnd, (int id, const void *message, size_t size, int flags), (id, message, size, flags), -1) \
  X(ssize_t, msgrcv, (int id, void *message, size_t size, long type, int flags), (id, message, size, type, flags), -1) \
  X(int, sem_timedwait, (void *semaphore, const struct timespec *until), (semaphore, until), -1) \
  X(int, sem_clockwait, (void *semaphore, clockid_t clock, const struct timespec *until), (semaphore, clock, until), \
    -1) \
  X(int, aio_suspend, (const void *list, int count, const struct timespec *timeout), (list, count, timeout), -1) \
  X(int, gai_suspend, (const void *list, int count, const struct timespec *timeout), (list, count, timeout), \
    EAI_SYSTEM) \
  X(int, io_getevents, (void *context, long least, long most, void *events, struct timespec *timeout), \
    (context, least, most, events, timeout), -ENOSYS) \
  X(int, io_pgetevents, \
    (void *context, long least, long most, void *events, struct timespec *timeout, sigset_t *mask), \
    (context, least, most, events, timeout, mask), -ENOSYS) \
  X(ssize_t, recv, (int fd, void *data, size_t size, int flags), (fd, data, size, flags), -1) \
  X(ssize_t, __recv_chk, (int fd, void *data, size_t size, size_t room, int flags), (fd, data, size, room, flags), -1)

#define IM_DECLARE(type, name, parameters, arguments, missing) type libc_##name parameters;
IM_LIBC_WAIT_FUNCTIONS(IM_DECLARE)
#undef IM_DECLARE

#endif
