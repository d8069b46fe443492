#include "recent_peers.h"

#include <stdatomic.h>
#include <time.h>

#define ENTRIES 1024u
#define LATELY 30u /* seconds */

/* address | port | second: one word, so that threads and signal handlers need no lock. 0: empty. */
static _Atomic uint64_t entries[ENTRIES];

static uint64_t key_of(uint32_t address, uint16_t port) { return (uint64_t)address << 32 | (uint64_t)port << 16; }

static _Atomic uint64_t *entry_of(uint64_t key) { return &entries[(key * 0x9e3779b97f4a7c15u) >> 54]; }

static uint16_t second(void) {
  struct timespec now = {0};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return (uint16_t)now.tv_sec;
}

void recent_peers_note(uint32_t address, uint16_t port) {
  uint64_t key = key_of(address, port);
  atomic_store_explicit(entry_of(key), key | second(), memory_order_relaxed);
}

void recent_peers_forget(uint32_t address, uint16_t port) {
  uint64_t key = key_of(address, port), there = atomic_load_explicit(entry_of(key), memory_order_relaxed);
  if ((there & ~0xffffull) == key) atomic_store_explicit(entry_of(key), 0, memory_order_relaxed);
}

bool recent_peers_known(uint32_t address, uint16_t port) {
  uint64_t key = key_of(address, port), there = atomic_load_explicit(entry_of(key), memory_order_relaxed);
  return (there & ~0xffffull) == key && (uint16_t)(second() - (uint16_t)there) <= LATELY;
}
