/* Receiving: the kernel's own call, then the virtual source in place of the real one. */
#include "datagram.h"

#include "core/alias.h"
#include "core/shim.h"
#include "core/pointer.h"

#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

/* The kernel takes no more of one call. */
#define MOST_MESSAGES 1024

/* The kernel's address in a guest's buffer of `room` bytes; false: it is cut, so that it has too little. */
static bool read_given(const void *name, socklen_t room, socklen_t full, struct im_addr *real) {
  /* The address of IPv4 ends before padding. */
  struct sockaddr_storage whole = {0};
  socklen_t enough = full == sizeof(struct sockaddr_in) ? offsetof(struct sockaddr_in, sin_zero) : full;
  if (room < enough || full > sizeof whole) return false;
  memcpy(&whole, name, room < full ? room : full);
  return addr_read(&whole, full, real);
}

/* Shows the source in place. */
static void show_name(int fd, void *name, socklen_t room, socklen_t *full) {
  struct sockaddr_storage address;
  struct im_addr real, shown;
  if (!read_given(name, room, *full, &real) || !datagram_shown(fd, &real, &shown)) return;
  socklen_t size = addr_write(&shown, &address);
  memcpy(name, &address, size < room ? size : room);
  *full = size;
}

ssize_t datagram_recvfrom(int fd, void *data, size_t size, int flags, struct sockaddr *from, socklen_t *from_size) {
  struct im_page found = {0};
  if (!from || !shim_active() || !pointer_readable(from_size, sizeof *from_size, &found))
    return libc_recvfrom(fd, data, size, flags, from, from_size);
  /* The kernel writes there first: what it can write, so can we. */
  socklen_t room = *from_size;
  ssize_t result = libc_recvfrom(fd, data, size, flags, from, from_size);
  if (result < 0) return result;
  IM_KEEP_ERRNO;
  show_name(fd, from, room, from_size);
  return result;
}

static void show_address(struct in_addr *address) {
  uint32_t shown;
  if (alias_virtual(ntohl(address->s_addr), &shown)) address->s_addr = htonl(shown);
}

/* `room`: of the message's name before the kernel wrote it. */
static void show(int fd, struct msghdr *message, socklen_t room) {
  if (message->msg_name) show_name(fd, message->msg_name, room, &message->msg_namelen);
  size_t at = 0;
  for (struct cmsghdr *c; (c = datagram_control(message, &at));) {
    struct in_pktinfo info;
    if (c->cmsg_level != IPPROTO_IP || c->cmsg_type != IP_PKTINFO || c->cmsg_len < CMSG_LEN(sizeof info)) continue;
    memcpy(&info, CMSG_DATA(c), sizeof info);
    show_address(&info.ipi_addr);
    show_address(&info.ipi_spec_dst);
    memcpy(CMSG_DATA(c), &info, sizeof info);
  }
}

ssize_t datagram_recvmsg(int fd, struct msghdr *message, int flags) {
  struct im_page found = {0};
  if (!shim_active() || !pointer_readable(message, sizeof *message, &found)) return libc_recvmsg(fd, message, flags);
  socklen_t room = message->msg_namelen;
  ssize_t result = libc_recvmsg(fd, message, flags);
  if (result < 0) return result;
  IM_KEEP_ERRNO;
  show(fd, message, room);
  return result;
}

int datagram_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout) {
  uint8_t rooms[MOST_MESSAGES]; /* no address that concerns us is longer */
  struct im_page found = {0};
  if (!shim_active()) return libc_recvmmsg(fd, messages, count, flags, timeout);
  if (count > MOST_MESSAGES) count = MOST_MESSAGES;
  for (unsigned i = 0; i < count && pointer_readable(&messages[i], sizeof *messages, &found); i++)
    rooms[i] = (uint8_t)(messages[i].msg_hdr.msg_namelen < UINT8_MAX ? messages[i].msg_hdr.msg_namelen : UINT8_MAX);
  int result = libc_recvmmsg(fd, messages, count, flags, timeout);
  if (result <= 0) return result;
  IM_KEEP_ERRNO;
  for (int i = 0; i < result; i++) show(fd, &messages[i].msg_hdr, rooms[i]);
  return result;
}
