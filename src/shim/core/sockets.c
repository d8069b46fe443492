#include "sockets.h"

#include "contract/abi/abi.h"
#include "libc_files.h"

#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define WAYS 8u
/* A slot that is being written is looked at so many times. */
#define LOOKS 100

/* As im_socket_slot, which says more. */
struct slot {
  union {
    struct {
      _Atomic uint32_t seq;
      _Atomic uint32_t flags;
    };
    _Atomic uint64_t seq_and_flags; /* little-endian: the flags are its upper half */
  };
  _Atomic uint64_t cookie;
  _Atomic uint32_t local_ip, peer_ip;
  _Atomic uint32_t ports;
  _Atomic uint32_t error;
  _Atomic uint64_t epoch;
};
_Static_assert(sizeof(struct slot) == sizeof(struct im_socket_slot), "slot");
_Static_assert(offsetof(struct slot, flags) == offsetof(struct im_socket_slot, flags), "slot");
_Static_assert(offsetof(struct slot, peer_ip) == offsetof(struct im_socket_slot, peer), "slot");
_Static_assert(offsetof(struct slot, epoch) == offsetof(struct im_socket_slot, epoch), "slot");
/* Behind the count of datagrams: a uint32_t that is no longer 0 once a rare option has been set. */
#define RARE_OFFSET (IM_TRAFFIC_OFFSET + 4u)
#define SLOTS (IM_TRAFFIC_OFFSET / sizeof(struct slot))

static struct slot *slots;

void sockets_open(const char *directory) {
  char path[PATH_MAX + 16];
  struct stat status;
  void *map = MAP_FAILED;
  snprintf(path, sizeof path, "%s/" IM_SOCKETS_FILE, directory);
  int fd = libc_open(path, O_RDWR | O_CLOEXEC, 0);
  if (fd >= 0) {
    if (fstat(fd, &status) == 0 && status.st_size >= (off_t)IM_SOCKETS_SIZE)
      map = mmap(0, IM_SOCKETS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    libc_close(fd);
  }
  if (map == MAP_FAILED)
    map = mmap(0, IM_SOCKETS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  slots = map == MAP_FAILED ? 0 : map;
}

void sockets_traffic(void) {
  if (!slots) return;
  _Atomic uint32_t *count = (_Atomic uint32_t *)(void *)((char *)slots + IM_TRAFFIC_OFFSET);
  atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
}

static _Atomic uint32_t *rare(void) { return (_Atomic uint32_t *)(void *)((char *)slots + RARE_OFFSET); }

bool sockets_rare(void) { return !slots || atomic_load_explicit(rare(), memory_order_relaxed); }

void sockets_note_rare(void) {
  if (slots) atomic_store_explicit(rare(), 1, memory_order_relaxed);
}

uint64_t sockets_cookie(int fd) {
  IM_KEEP_ERRNO;
  uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  return libc_getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

static struct slot *set_of(uint64_t cookie) {
  uint64_t hash = cookie * 0x9e3779b97f4a7c15u;
  return &slots[(hash >> 40) % (SLOTS / WAYS) * WAYS];
}

bool sockets_get(uint64_t cookie, struct im_socket *socket) {
  if (!slots || !cookie) return false;
  struct slot *set = set_of(cookie);
  for (unsigned way = 0; way < WAYS; way++) {
    struct slot *slot = &set[way];
    for (int look = 0; look < LOOKS; look++) {
      if (atomic_load_explicit(&slot->cookie, memory_order_relaxed) != cookie) break;
      uint32_t seq = atomic_load_explicit(&slot->seq, memory_order_acquire);
      if (seq & 1) continue;
      uint32_t flags = atomic_load_explicit(&slot->flags, memory_order_relaxed);
      uint32_t ports = atomic_load_explicit(&slot->ports, memory_order_relaxed);
      *socket = (struct im_socket){
          .flags = (uint8_t)flags,
          .epoch = atomic_load_explicit(&slot->epoch, memory_order_relaxed),
          .local = {atomic_load_explicit(&slot->local_ip, memory_order_relaxed), (uint16_t)ports, flags >> 8 & 3},
          .peer = {atomic_load_explicit(&slot->peer_ip, memory_order_relaxed), (uint16_t)(ports >> 16),
                   flags >> 16 & 3}};
      uint32_t error = atomic_load_explicit(&slot->error, memory_order_relaxed);
      if (flags & IM_HAS_ERROR)
        socket->error = (uint16_t)error;
      else if (flags & IM_IS_HANDOFF)
        socket->host = error;
      uint64_t owner = atomic_load_explicit(&slot->cookie, memory_order_relaxed);
      atomic_thread_fence(memory_order_acquire);
      if (atomic_load_explicit(&slot->seq, memory_order_relaxed) == seq) return owner == cookie;
    }
  }
  return false;
}

static bool write_slot(struct slot *slot, uint64_t cookie, const struct im_socket *socket) {
  uint32_t seq = atomic_load_explicit(&slot->seq, memory_order_relaxed);
  if (seq & 1 ||
      !atomic_compare_exchange_strong_explicit(&slot->seq, &seq, seq + 1, memory_order_acquire, memory_order_relaxed))
    return false;
  atomic_thread_fence(memory_order_release);
  uint32_t flags = socket->flags | (uint32_t)socket->local.form << 8 | (uint32_t)socket->peer.form << 16;
  atomic_store_explicit(&slot->cookie, cookie, memory_order_relaxed);
  atomic_store_explicit(&slot->flags, flags, memory_order_relaxed);
  uint32_t error = socket->flags & IM_HAS_ERROR ? socket->error : socket->flags & IM_IS_HANDOFF ? socket->host : 0;
  atomic_store_explicit(&slot->error, error, memory_order_relaxed);
  atomic_store_explicit(&slot->local_ip, socket->local.ip, memory_order_relaxed);
  atomic_store_explicit(&slot->peer_ip, socket->peer.ip, memory_order_relaxed);
  atomic_store_explicit(&slot->ports, socket->local.port | (uint32_t)socket->peer.port << 16, memory_order_relaxed);
  atomic_store_explicit(&slot->epoch, socket->epoch, memory_order_relaxed);
  atomic_store_explicit(&slot->seq, seq + 2, memory_order_release);
  return true;
}

void sockets_put(uint64_t cookie, const struct im_socket *socket) {
  if (!slots || !cookie) return;
  struct slot *set = set_of(cookie);
  struct slot *empty = 0, *oldest = &set[0];
  for (unsigned way = 0; way < WAYS; way++) {
    uint64_t owner = atomic_load_explicit(&set[way].cookie, memory_order_relaxed);
    if (owner == cookie) {
      write_slot(&set[way], cookie, socket);
      return;
    }
    if (!owner && !empty) empty = &set[way];
    /* Cookies count up, so the smallest is the oldest. */
    if (owner < atomic_load_explicit(&oldest->cookie, memory_order_relaxed)) oldest = &set[way];
  }
  struct slot *slot = empty ? empty : oldest;
  for (unsigned way = 0; !write_slot(slot, cookie, socket) && way < WAYS; way++) slot = &set[way];
}

bool sockets_has(int fd, uint8_t flags, struct im_socket *socket) {
  return sockets_get(sockets_cookie(fd), socket) && (socket->flags & flags) == flags;
}

void sockets_clear(uint64_t cookie, uint8_t flags) {
  if (!slots || !cookie) return;
  struct slot *set = set_of(cookie);
  for (unsigned way = 0; way < WAYS; way++) {
    struct slot *slot = &set[way];
    for (int look = 0; look < LOOKS; look++) {
      uint64_t seen = atomic_load_explicit(&slot->seq_and_flags, memory_order_acquire);
      if (atomic_load_explicit(&slot->cookie, memory_order_relaxed) != cookie) break;
      if (seen & 1) continue;
      uint32_t seq = (uint32_t)seen + 2, left = (uint32_t)(seen >> 32) & ~(uint32_t)flags;
      if (atomic_compare_exchange_strong(&slot->seq_and_flags, &seen, (uint64_t)left << 32 | seq)) return;
    }
  }
}

uint16_t sockets_bound_port(uint64_t cookie) {
  struct im_socket socket;
  return sockets_get(cookie, &socket) && socket.flags & IM_HAS_LOCAL ? socket.local.port : 0;
}

void sockets_note_peer(int fd, const struct im_addr *peer) {
  struct im_socket socket = {0};
  uint64_t cookie = sockets_cookie(fd);
  sockets_get(cookie, &socket);
  socket.flags = (uint8_t)((socket.flags | IM_HAS_PEER) & ~IM_HAS_ERROR);
  socket.peer = *peer;
  sockets_put(cookie, &socket);
}

void sockets_note_error(int fd, int error) {
  struct im_socket socket = {0};
  uint64_t cookie = sockets_cookie(fd);
  sockets_get(cookie, &socket);
  socket.flags |= IM_HAS_ERROR;
  socket.error = (uint16_t)error;
  sockets_put(cookie, &socket);
}
