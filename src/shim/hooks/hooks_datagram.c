/* Calls that name where a datagram goes or came from. Streams pass through all of them as they are. */
#include "datagram/datagram.h"
#include "hook.h"

HOOK(ssize_t, send, (int fd, const void *data, size_t size, int flags)) { return datagram_send(fd, data, size, flags); }

HOOK(ssize_t, sendto,
     (int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t to_size)) {
  return datagram_sendto(fd, data, size, flags, to, to_size);
}

HOOK(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags)) {
  return datagram_sendmsg(fd, message, flags);
}

HOOK(int, sendmmsg, (int fd, struct mmsghdr *messages, unsigned count, int flags)) {
  return datagram_sendmmsg(fd, messages, count, flags);
}

HOOK(ssize_t, recvfrom, (int fd, void *data, size_t size, int flags, struct sockaddr *from, socklen_t *from_size)) {
  return datagram_recvfrom(fd, data, size, flags, from, from_size);
}

/*
 * Programs that are compiled with _FORTIFY_SOURCE call this. Only libc knows how to end a program that reads too much.
 */
HOOK(ssize_t, __recvfrom_chk,
     (int fd, void *data, size_t size, size_t room, int flags, struct sockaddr *from, socklen_t *from_size)) {
  if (size > room) return libc___recvfrom_chk(fd, data, size, room, flags, from, from_size);
  return datagram_recvfrom(fd, data, size, flags, from, from_size);
}

HOOK(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags)) { return datagram_recvmsg(fd, message, flags); }

HOOK(int, recvmmsg, (int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout)) {
  return datagram_recvmmsg(fd, messages, count, flags, timeout);
}

HOOK_ALIAS(send, __send)
HOOK_ALIAS(sendmmsg, __sendmmsg)
