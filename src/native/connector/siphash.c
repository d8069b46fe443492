#include "siphash.h"

static uint64_t little(const uint8_t *bytes, size_t size) {
  uint64_t word = 0;
  for (size_t i = 0; i < size; i++) word |= (uint64_t)bytes[i] << (8 * i);
  return word;
}

static uint64_t left(uint64_t word, int bits) { return word << bits | word >> (64 - bits); }

static void rounds(uint64_t v[4], int count) {
  for (int i = 0; i < count; i++) {
    v[0] += v[1], v[1] = left(v[1], 13) ^ v[0], v[0] = left(v[0], 32);
    v[2] += v[3], v[3] = left(v[3], 16) ^ v[2];
    v[0] += v[3], v[3] = left(v[3], 21) ^ v[0];
    v[2] += v[1], v[1] = left(v[1], 17) ^ v[2], v[2] = left(v[2], 32);
  }
}

uint64_t siphash(const uint8_t key[IM_SIPHASH_KEY], const uint8_t *bytes, size_t size) {
  uint64_t k0 = little(key, 8), k1 = little(key + 8, 8);
  uint64_t v[4] = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du, k0 ^ 0x6c7967656e657261u,
                   k1 ^ 0x7465646279746573u};
  size_t whole = size & ~(size_t)7;
  for (size_t at = 0; at <= whole; at += 8) {
    uint64_t word = at < whole ? little(bytes + at, 8) : little(bytes + at, size - at) | (uint64_t)size << 56;
    v[3] ^= word;
    rounds(v, 2);
    v[0] ^= word;
  }
  v[2] ^= 0xff;
  rounds(v, 4);
  return v[0] ^ v[1] ^ v[2] ^ v[3];
}
