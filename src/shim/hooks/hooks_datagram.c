/* Calls that name where a datagram goes or came from. Streams pass through all of them as they are. */
#include "core/libc_waits.h"
#include "datagram/datagram.h"
#include "hook.h"
#include "interrupts/interrupts.h"

#define IM_SEND(call) IM_WAIT_SOCKET(fd, SO_SNDTIMEO, EAGAIN, result = (call), result < 0)
#define IM_RECEIVE(call) IM_WAIT_SOCKET(fd, SO_RCVTIMEO, EAGAIN, result = (call), result < 0)

HOOK(ssize_t, send, (int fd, const void *data, size_t size, int flags)) {
  ssize_t result;
  IM_SEND(datagram_send(fd, data, size, flags));
  return result;
}

HOOK(ssize_t, sendto,
     (int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t to_size)) {
  ssize_t result;
  IM_SEND(datagram_sendto(fd, data, size, flags, to, to_size));
  return result;
}

HOOK(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags)) {
  ssize_t result;
  IM_SEND(datagram_sendmsg(fd, message, flags));
  return result;
}

HOOK(int, sendmmsg, (int fd, struct mmsghdr *messages, unsigned count, int flags)) {
  int result;
  IM_SEND(datagram_sendmmsg(fd, messages, count, flags));
  return result;
}

/* Names no address: it is here for its time limit. */
HOOK(ssize_t, recv, (int fd, void *data, size_t size, int flags)) {
  ssize_t result;
  IM_RECEIVE(libc_recv(fd, data, size, flags));
  return result;
}

HOOK(ssize_t, __recv_chk, (int fd, void *data, size_t size, size_t room, int flags)) {
  return size > room ? libc___recv_chk(fd, data, size, room, flags) : hook_recv(fd, data, size, flags);
}

HOOK(ssize_t, recvfrom, (int fd, void *data, size_t size, int flags, struct sockaddr *from, socklen_t *from_size)) {
  ssize_t result;
  IM_RECEIVE(datagram_recvfrom(fd, data, size, flags, from, from_size));
  return result;
}

/*
 * Programs that are compiled with _FORTIFY_SOURCE call this. Only libc knows how to end a program that reads too much.
 */
HOOK(ssize_t, __recvfrom_chk,
     (int fd, void *data, size_t size, size_t room, int flags, struct sockaddr *from, socklen_t *from_size)) {
  if (size > room) return libc___recvfrom_chk(fd, data, size, room, flags, from, from_size);
  return hook_recvfrom(fd, data, size, flags, from, from_size);
}

HOOK(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags)) {
  ssize_t result;
  IM_RECEIVE(datagram_recvmsg(fd, message, flags));
  return result;
}

HOOK(int, recvmmsg, (int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout)) {
  int result;
  IM_RECEIVE(datagram_recvmmsg(fd, messages, count, flags, timeout));
  return result;
}

HOOK_ALIAS(send, __send)
HOOK_ALIAS(sendmmsg, __sendmmsg)
HOOK_ALIAS(recv, __recv)
