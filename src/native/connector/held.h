/*
 * A datagram that waited for its host: sent as the guest sent it, whatever the guest has done to its socket since then.
 * The test peer of the shim sends by this too.
 */
#ifndef IMAGINARY_HELD_H
#define IMAGINARY_HELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct im_held {
  uint32_t real; /* to where, in the machine's byte order as everything here */
  uint16_t real_port;
  uint16_t source_port; /* the socket's port at the time; 0: not known */
  uint32_t source;      /* 0: as the socket has it */
  uint32_t marks;       /* TTL and, 8 bits up, TOS, of the time; 0: as the socket has them */
};

/* From `fd`, the guest's socket. Never blocks. False: the kernel did not take it. */
bool held_send(int fd, const void *bytes, size_t size, const struct im_held *held);

#endif
