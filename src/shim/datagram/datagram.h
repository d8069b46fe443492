/*
 * UDP sockets: where their datagrams go and come from. A kernel UDP socket of the guest's own carries them; only
 * addresses are exchanged, and a datagram for a host that is not up is given to the supervisor (datagram_send.c).
 */
#ifndef IMAGINARY_DATAGRAM_H
#define IMAGINARY_DATAGRAM_H

#include "core/addr.h"
#include "connect/route.h"

#include <stdbool.h>

/* Whether fd is a UDP socket, or one of UDP-Lite, which has the same addresses and calls. */
bool datagram_is(int fd);

/*
 * Where a datagram goes. As route_find, except that a port that is not listed needs no location when its host is up:
 * the kernel refuses it there. LOCATE: `real` is the host's alias, where it will be on network `flat`.
 */
struct im_route datagram_route(const struct im_addr *to);

/* The address that a guest is shown for a real one; false: it is none of ours. */
bool datagram_shown(int fd, const struct im_addr *real, struct im_addr *shown);

int datagram_bind(int fd, const struct sockaddr *address, socklen_t size, const struct im_addr *to);
int datagram_connect(int fd, const struct im_addr *to);

/* Before another connect of fd: if it was connected to a host of the cluster, its source address is freed again. */
void datagram_release(int fd);

/* The peer that this process has connected fd to: false for all other sockets, at the price of one load. */
bool datagram_peer(int fd, struct im_addr *peer);

/* Whether that still is so: the number may have been used again. Forgets it if not. */
bool datagram_connected(int fd, const struct im_addr *peer);

/* Connects again after the location has changed. */
void datagram_follow(int fd, const struct im_addr *peer, const struct im_route *route);

/*
 * The control message at `at` in a message's control data, and where the next one is; NULL at the end, and where the
 * kernel finds no whole one either. CMSG_NXTHDR trusts the lengths, which are a guest's.
 */
static inline struct cmsghdr *datagram_control(const struct msghdr *message, size_t *at) {
  size_t size = message->msg_control ? message->msg_controllen : 0;
  if (*at > size || size - *at < sizeof(struct cmsghdr)) return 0;
  struct cmsghdr *control = (void *)((char *)message->msg_control + *at);
  if (control->cmsg_len < sizeof *control || control->cmsg_len > size - *at) return 0;
  *at += CMSG_ALIGN((size_t)control->cmsg_len);
  return control;
}

ssize_t datagram_send(int fd, const void *data, size_t size, int flags);
ssize_t datagram_sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t to_size);
ssize_t datagram_sendmsg(int fd, const struct msghdr *message, int flags);
int datagram_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags);

ssize_t datagram_recvfrom(int fd, void *data, size_t size, int flags, struct sockaddr *from, socklen_t *from_size);
ssize_t datagram_recvmsg(int fd, struct msghdr *message, int flags);
int datagram_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout);

#endif
