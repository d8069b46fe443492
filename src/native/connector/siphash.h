/* SipHash-2-4 (Aumasson and Bernstein, 2012): a keyed hash of short messages, which nobody can make without the key. */
#ifndef IMAGINARY_SIPHASH_H
#define IMAGINARY_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

#define IM_SIPHASH_KEY 16

uint64_t siphash(const uint8_t key[IM_SIPHASH_KEY], const uint8_t *bytes, size_t size);

#endif
