/*
 * What guests have set, by SO_COOKIE, where the kernel's own answer would differ: a cache in a file that all guests of
 * the host map. Lock-free, any thread. Old entries make room for new ones; every reader has an answer without an entry.
 */
#ifndef IMAGINARY_SOCKETS_H
#define IMAGINARY_SOCKETS_H

#include "addr.h"

#include <stdbool.h>
#include <stdint.h>

#define IM_HAS_LOCAL 1u              /* bound by the guest to `local` */
#define IM_HAS_PEER 2u               /* connected by the guest to `peer` */
#define IM_HAS_ERROR IM_SOCKET_ERROR /* the pending ECONNREFUSED really is `error` */
#define IM_ONLY_V6 8u                /* bound at the real ::1: for IPv6 only */
#define IM_IS_HANDOFF IM_SOCKET_HANDOFF
#define IM_HAS_ENDED IM_SOCKET_ENDED
#define IM_WANTS_PROBE IM_SOCKET_PROBE

struct im_socket {
  uint8_t flags;
  uint16_t error;
  struct im_addr local, peer;
  uint64_t epoch; /* with IM_IS_HANDOFF: the peer's */
  uint32_t host;  /* with IM_IS_HANDOFF: the host that was chosen, where `peer` is a service; 0: `peer` */
};

/* Maps DIRECTORY/sockets, or memory of this process and its children when the file cannot be used. */
void sockets_open(const char *directory);

/* SO_COOKIE; 0 when fd is no socket. Keeps errno. */
uint64_t sockets_cookie(int fd);

/* A datagram from or to another host: the supervisor looks at the count. */
void sockets_traffic(void);

/*
 * Whether a guest of this host has ever set an option that few set (replace.c); true as well where that cannot be
 * known.
 */
bool sockets_rare(void);
void sockets_note_rare(void);

/* Of fd, where all of these flags are set. */
bool sockets_has(int fd, uint8_t flags, struct im_socket *socket);

bool sockets_get(uint64_t cookie, struct im_socket *socket);
void sockets_put(uint64_t cookie, const struct im_socket *socket);
void sockets_clear(uint64_t cookie, uint8_t flags);

/* The port that the guest has bound its socket to; 0: none. */
uint16_t sockets_bound_port(uint64_t cookie);

/* Of fd: what getpeername is to show, and what SO_ERROR is to show for its pending ECONNREFUSED. */
void sockets_note_peer(int fd, const struct im_addr *peer);
void sockets_note_error(int fd, int error);

#endif
