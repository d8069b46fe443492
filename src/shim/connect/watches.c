#include "watches.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>

#define PER_PAGE 1024
#define PAGES 1024
#define SETS 3 /* epoll sets remembered per descriptor: the last ones */

struct watch {
  _Atomic int set; /* epoll descriptor + 1; 0: free; -1: being written */
  _Atomic uint32_t events;
  _Atomic uint64_t data;
  _Atomic uint32_t age; /* greater is newer */
  _Atomic uint32_t hidden;
};

struct entry {
  struct watch watches[SETS];
  _Atomic uint32_t clock; /* 0: no watch was ever written here */
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
    if (atomic_load_explicit(&entry->watches[i].set, memory_order_relaxed) == set + 1) return &entry->watches[i];
  return 0;
}

/* A free watch, or the oldest: most likely left of a descriptor that had the same number. */
static struct watch *claim(struct entry *entry) {
  struct watch *oldest = &entry->watches[0];
  for (int i = 0; i < SETS; i++) {
    struct watch *watch = &entry->watches[i];
    int unused = 0;
    if (atomic_compare_exchange_strong(&watch->set, &unused, -1)) return watch;
    if (atomic_load(&watch->age) < atomic_load(&oldest->age)) oldest = watch;
  }
  int value = atomic_load(&oldest->set);
  return value > 0 && atomic_compare_exchange_strong(&oldest->set, &value, -1) ? oldest : 0;
}

/* To ask the kernel whether fd is a socket that may still be connected would cost more than to remember it. */
void watches_note(int set, int op, int fd, const struct epoll_event *event) {
  IM_KEEP_ERRNO;
  struct entry *entry = entry_of(fd, op != EPOLL_CTL_DEL);
  struct watch *watch = entry && atomic_load_explicit(&entry->clock, memory_order_relaxed) ? find(entry, set) : 0;
  if (op == EPOLL_CTL_DEL) {
    if (watch) atomic_store_explicit(&watch->set, 0, memory_order_release);
  } else if (entry && (watch || (watch = claim(entry)))) {
    uint32_t age = atomic_fetch_add_explicit(&entry->clock, 1, memory_order_relaxed);
    atomic_store_explicit(&watch->age, age, memory_order_relaxed);
    atomic_store_explicit(&watch->hidden, 0, memory_order_relaxed);
    atomic_store_explicit(&watch->events, event->events, memory_order_relaxed);
    atomic_store_explicit(&watch->data, event->data.u64, memory_order_relaxed);
    atomic_store_explicit(&watch->set, set + 1, memory_order_release);
  }
}

/*
 * One pass for both: takes fd out where it is shown, or puts it in where it is hidden. True: there was something to do.
 */
static bool each(int fd, bool hide) {
  struct entry *entry = entry_of(fd, false);
  bool any = false;
  if (!entry || !atomic_load_explicit(&entry->clock, memory_order_relaxed)) return false;
  for (int i = 0; i < SETS; i++) {
    struct watch *watch = &entry->watches[i];
    int value = atomic_load(&watch->set);
    if (value <= 0 || atomic_load(&watch->hidden) == hide) continue;
    struct epoll_event event = {.events = atomic_load(&watch->events), .data.u64 = atomic_load(&watch->data)};
    if (libc_epoll_ctl(value - 1, hide ? EPOLL_CTL_DEL : EPOLL_CTL_ADD, fd, &event) == 0 || errno == EEXIST) {
      atomic_store(&watch->hidden, hide);
      any = true;
    } else
      atomic_compare_exchange_strong(&watch->set, &value, 0);
  }
  return any;
}

bool watches_hide(int fd) { return each(fd, true); }

void watches_show(int fd) { each(fd, false); }

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
