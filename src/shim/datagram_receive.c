/* Receiving: the kernel's own call, then the virtual source in place of the real one. */
#include "datagram.h"

#include "faces.h"
#include "init.h"
#include "table.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

ssize_t datagram_recvfrom(int fd, void *data, size_t size, int flags, struct sockaddr *from, socklen_t *from_size) {
  struct sockaddr_storage address;
  struct im_addr real, shown;
  socklen_t full = sizeof address;
  if (!from || !from_size || (int)*from_size < 0 || !im_active())
    return libc_recvfrom(fd, data, size, flags, from, from_size);
  ssize_t result = libc_recvfrom(fd, data, size, flags, (struct sockaddr *)&address, &full);
  if (result < 0) return result;
  int saved = errno;
  if (addr_read(&address, full, &real) && datagram_shown(fd, &real, &shown)) full = addr_write(&shown, &address);
  addr_give(&address, full, from, from_size);
  errno = saved;
  return result;
}

static void show_address(struct in_addr *address) {
  uint32_t shown;
  if (faces_virtual(ntohl(address->s_addr), &shown)) address->s_addr = htonl(shown);
}

/* In place: an address is shown in the form and size that it has. */
static void show(int fd, struct msghdr *message) {
  struct sockaddr_storage address;
  struct im_addr real, shown;
  if (message->msg_name && addr_read(message->msg_name, message->msg_namelen, &real) && datagram_shown(fd, &real, &shown)) {
    socklen_t size = addr_write(&shown, &address);
    memcpy(message->msg_name, &address, size < message->msg_namelen ? size : message->msg_namelen);
  }
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
  if (!message || !im_active()) return libc_recvmsg(fd, message, flags);
  ssize_t result = libc_recvmsg(fd, message, flags);
  if (result < 0) return result;
  int saved = errno;
  show(fd, message);
  errno = saved;
  return result;
}

int datagram_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout) {
  int result = libc_recvmmsg(fd, messages, count, flags, timeout);
  if (result <= 0 || !im_active()) return result;
  int saved = errno;
  for (int i = 0; i < result; i++) show(fd, &messages[i].msg_hdr);
  errno = saved;
  return result;
}
