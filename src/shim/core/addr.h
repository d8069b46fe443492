/* Socket addresses that stand for IPv4, in one shape. */
#ifndef IMAGINARY_ADDR_H
#define IMAGINARY_ADDR_H

#include "libc.h"

#include <stdbool.h>
#include <stdint.h>

#define IM_LOOPBACK 0x7f000001u

/* How the guest wrote it: as AF_INET, as ::ffff:a.b.c.d, as `::` (then ip is 0) or as ::1 (then ip is 127.0.0.1). */
enum im_form { IM_FORM_V4, IM_FORM_MAPPED, IM_FORM_V6_ANY, IM_FORM_V6_LOOP };

struct im_addr {
  uint32_t ip;
  uint16_t port;
  uint8_t form;
};

/* Whether all of an address that a guest gives can be read. False: the kernel is to refuse the call. */
bool addr_given(const void *address, socklen_t size);

/* False: another family, a real IPv6 address, or too short. */
bool addr_read(const void *address, socklen_t size, struct im_addr *read);

/* AF_UNSPEC, by which a connect is taken back. */
bool addr_is_nowhere(const void *address, socklen_t size);

/* 127.0.0.2 and the like: of the loopback network, but neither 127.0.0.1 nor the resolver's address. */
bool addr_is_other_loopback(uint32_t ip);

/* The form of an address with an IPv4 address, and the family, of a socket that takes addresses of this form. */
uint8_t addr_plain(uint8_t form);
int addr_family(uint8_t form);

/* Where `to` really is, in the form of `to`: V4 or MAPPED, and ::1 when `real` is IM_REAL_LOOPBACK6. */
struct im_addr addr_real(const struct im_addr *to, uint32_t real, uint16_t real_port);

/* Writes the address in its form, and returns the size of that. */
socklen_t addr_write(const struct im_addr *from, struct sockaddr_storage *to);

/* Gives an address to the guest as the kernel does: cut to the guest's buffer, with the full size beside it. */
void addr_give(const struct sockaddr_storage *from, socklen_t size, struct sockaddr *to, socklen_t *to_size);

#endif
