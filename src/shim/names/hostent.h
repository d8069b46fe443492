/* Builds a struct hostent with one name and one IPv4 address (or its IPv6 form) in a buffer of the caller's. */
#ifndef IMAGINARY_HOSTENT_H
#define IMAGINARY_HOSTENT_H

#include "core/libc.h"

#include <stdint.h>

/* 0, or ERANGE when the buffer is too small. */
int hostent_build(struct hostent *entry, char *buffer, size_t size, const char *name, uint32_t address, int family);

#endif
