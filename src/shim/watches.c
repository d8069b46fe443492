#include "watches.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <sys/mman.h>

#define PER_PAGE 1024
#define PAGES 1024
#define SETS 3 /* epoll sets remembered per descriptor */

struct watch {
  _Atomic int set; /* epoll descriptor + 1; 0: free; -1: being written */
  _Atomic uint32_t events;
  _Atomic uint64_t data;
};

struct entry {
  struct watch watches[SETS];
  _Atomic uint32_t used; /* no watch was ever written here: nothing to look through */
  _Atomic uint32_t pending;
};

static _Atomic(struct entry *) pages[PAGES];

static struct entry *entry_of(int fd, bool make) {
  if (fd < 0 || fd >= PER_PAGE * PAGES) return 0;
  _Atomic(struct entry *) *page = &pages[fd / PER_PAGE];
  struct entry *first = atomic_load_explicit(page, memory_order_acquire);
  if (!first && make) {
    void *map = mmap(0, PER_PAGE * sizeof(struct entry), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) return 0;
    if (atomic_compare_exchange_strong(page, &first, map))
      first = map;
    else
      munmap(map, PER_PAGE * sizeof(struct entry));
  }
  return first ? &first[fd % PER_PAGE] : 0;
}

static struct watch *find(struct entry *entry, int set) {
  for (int i = 0; i < SETS; i++)
    if (atomic_load(&entry->watches[i].set) == set + 1) return &entry->watches[i];
  return 0;
}

/* What is left of a descriptor that had the same number: a set that does not know fd. */
static void forget_old(struct entry *entry, int fd) {
  for (int i = 0; i < SETS; i++) {
    struct watch *watch = &entry->watches[i];
    int value = atomic_load(&watch->set);
    struct epoll_event event = {.events = atomic_load(&watch->events), .data.u64 = atomic_load(&watch->data)};
    if (value > 0 && libc_epoll_ctl(value - 1, EPOLL_CTL_MOD, fd, &event) != 0)
      atomic_compare_exchange_strong(&watch->set, &value, 0);
  }
}

static struct watch *claim(struct entry *entry) {
  for (int i = 0; i < SETS; i++) {
    int unused = 0;
    if (atomic_compare_exchange_strong(&entry->watches[i].set, &unused, -1)) return &entry->watches[i];
  }
  return 0;
}

/* TCP_CLOSE: neither connected nor connecting nor listening. One byte of the answer says so. */
static bool unconnected(int fd) {
  uint8_t state = 0;
  socklen_t size = sizeof state;
  return libc_getsockopt(fd, IPPROTO_TCP, TCP_INFO, &state, &size) == 0 && state == TCP_CLOSE;
}

void watches_note(int set, int op, int fd, const struct epoll_event *event) {
  int saved = errno;
  struct entry *entry = entry_of(fd, false);
  bool known = entry && atomic_load_explicit(&entry->used, memory_order_relaxed);
  struct watch *watch = known ? find(entry, set) : 0;
  if (op == EPOLL_CTL_DEL) {
    if (watch) atomic_store(&watch->set, 0);
  } else if (op == EPOLL_CTL_MOD ? watch != 0 : watch || watches_marked(fd) || unconnected(fd)) {
    if (!entry) entry = entry_of(fd, true);
    if (!watch && entry) watch = claim(entry);
    if (!watch && entry) {
      forget_old(entry, fd);
      watch = claim(entry);
    }
    if (watch) {
      atomic_store_explicit(&entry->used, 1, memory_order_relaxed);
      atomic_store_explicit(&watch->events, event->events, memory_order_relaxed);
      atomic_store_explicit(&watch->data, event->data.u64, memory_order_relaxed);
      atomic_store(&watch->set, set + 1);
    }
  }
  errno = saved;
}

static void each(int fd, int op) {
  struct entry *entry = entry_of(fd, false);
  if (!entry || !atomic_load_explicit(&entry->used, memory_order_relaxed)) return;
  for (int i = 0; i < SETS; i++) {
    struct watch *watch = &entry->watches[i];
    int set = atomic_load(&watch->set) - 1;
    if (set < 0) continue;
    struct epoll_event event = {.events = atomic_load(&watch->events), .data.u64 = atomic_load(&watch->data)};
    if (libc_epoll_ctl(set, op, fd, &event) != 0 && errno != EEXIST) {
      int expected = set + 1;
      atomic_compare_exchange_strong(&watch->set, &expected, 0);
    }
  }
}

void watches_remove(int fd) { each(fd, EPOLL_CTL_DEL); }

void watches_restore(int fd) { each(fd, EPOLL_CTL_ADD); }

void watches_forget(int fd) {
  struct entry *entry = entry_of(fd, false);
  if (!entry || !atomic_load_explicit(&entry->used, memory_order_relaxed)) return;
  for (int i = 0; i < SETS; i++) atomic_store(&entry->watches[i].set, 0);
}

bool watches_mark(int fd, bool pending) {
  struct entry *entry = entry_of(fd, pending);
  if (!entry) return false;
  atomic_store(&entry->pending, pending);
  return true;
}

bool watches_marked(int fd) {
  struct entry *entry = entry_of(fd, false);
  return entry && atomic_load_explicit(&entry->pending, memory_order_acquire);
}
