#include "table.h"

#include "addr.h"
#include "libc.h"
#include "libc_files.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/*
 * A writer holds the seqlock for microseconds, if it is not preempted meanwhile: then for as long as a busy machine
 * lets it wait. After so many looks, of which all but the first SPINS take a tenth of a millisecond, it is taken for
 * dead.
 */
#define SPINS 2000
#define LOOKS (SPINS + 1000)

/*
 * Everything that a reader computes with is copied here when it is validated: the mapping may be written at any time.
 */
static struct {
  const uint32_t *seq, *ports_count;
  const struct im_host *hosts;
  const struct im_name *names;
  const struct im_port *ports;
  const char *strings;
  uint32_t hosts_count, names_capacity, ports_capacity, strings_size;
  struct im_cluster cluster;
} table;

static bool inside(uint32_t offset, uint64_t count, size_t each, size_t size) {
  return offset % 4 == 0 && offset >= sizeof(struct im_table_header) && offset <= size && count * each <= size - offset;
}

static bool usable(const void *map, size_t size) {
  struct im_table_header header;
  memcpy(&header, map, sizeof header);
  if (header.magic != IM_TABLE_MAGIC || header.version != IM_VERSION || header.file_size > size) return false;
  size = header.file_size;
  if (size < sizeof header || header.cidr_prefix < 1 || header.cidr_prefix > 32) return false;
  if (!inside(header.hosts_offset, header.hosts_count, sizeof(struct im_host), size)) return false;
  if (!inside(header.names_offset, header.names_capacity, sizeof(struct im_name), size)) return false;
  if (!inside(header.ports_offset, header.ports_capacity, sizeof(struct im_port), size)) return false;
  if (header.strings_offset > size || header.strings_size > size - header.strings_offset) return false;
  if (header.hosts_offset % 8 || !header.strings_size || header.hostname >= header.strings_size) return false;
  if (header.names_capacity & (header.names_capacity - 1)) return false;
  if (!header.alias_base || !header.alias_loop) return false;
  const char *bytes = map;
  const char *strings = bytes + header.strings_offset;
  if (strings[header.strings_size - 1] != 0) return false;
  table.seq = (const uint32_t *)(const void *)(bytes + offsetof(struct im_table_header, seq));
  table.ports_count = (const uint32_t *)(const void *)(bytes + offsetof(struct im_table_header, ports_count));
  table.hosts = (const void *)(bytes + header.hosts_offset);
  table.names = (const void *)(bytes + header.names_offset);
  table.ports = (const void *)(bytes + header.ports_offset);
  table.strings = strings;
  table.hosts_count = header.hosts_count;
  table.names_capacity = header.names_capacity;
  table.ports_capacity = header.ports_capacity;
  table.strings_size = header.strings_size;
  table.cluster = (struct im_cluster){.base = header.cidr_base,
                                      .mask = UINT32_MAX << (32 - header.cidr_prefix),
                                      .self = header.self,
                                      .alias_base = header.alias_base,
                                      .alias_loop = header.alias_loop,
                                      .handoff = header.handoff != 0,
                                      .started = header.started,
                                      .hostname = strings + header.hostname};
  return true;
}

/* Behind the file stands a page of zeros: a text that has lost its end since it was validated ends there. */
static void *map_file(int fd, size_t size, size_t *mapped) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  *mapped = (size + page - 1) / page * page + page;
  void *map = mmap(0, *mapped, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (map == MAP_FAILED || mmap(map, size, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED) return map;
  munmap(map, *mapped);
  return MAP_FAILED;
}

bool table_open(const char *directory) {
  char path[PATH_MAX + 16];
  struct stat status;
  size_t mapped = 0;
  snprintf(path, sizeof path, "%s/" IM_TABLE_FILE, directory);
  int fd = libc_open(path, O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) return false;
  void *map = MAP_FAILED;
  if (fstat(fd, &status) == 0 && status.st_size >= (off_t)sizeof(struct im_table_header) &&
      status.st_size <= UINT32_MAX)
    map = map_file(fd, (size_t)status.st_size, &mapped);
  libc_close(fd);
  if (map == MAP_FAILED) return false;
  if (usable(map, (size_t)status.st_size)) return true;
  munmap(map, mapped);
  return false;
}

const struct im_cluster *table_cluster(void) { return &table.cluster; }

bool table_is_virtual(uint32_t address) { return (address & table.cluster.mask) == table.cluster.base; }

/* The odd number that a writer left when it died: no reader waits for it again. */
static _Atomic uint32_t abandoned;

static void pause_reading(int looks) {
  struct timespec nap = {.tv_nsec = 100000};
  IM_KEEP_ERRNO;
  if (looks >= SPINS)
    nanosleep(&nap, 0);
  else if (looks % 64 == 63)
    sched_yield();
}

/* An even number to compare with later, or false when the writer does not come to an end. */
static bool read_begin(uint32_t *seq, int *looks) {
  for (; *looks < LOOKS; (*looks)++) {
    *seq = __atomic_load_n(table.seq, __ATOMIC_ACQUIRE);
    if (!(*seq & 1)) return true;
    if (*seq == abandoned) return false;
    pause_reading(*looks);
  }
  if (*seq & 1) abandoned = *seq;
  return false;
}

static bool read_ended(uint32_t seq, int *looks) {
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
  (*looks)++;
  return __atomic_load_n(table.seq, __ATOMIC_RELAXED) == seq;
}

static const char *string_at(uint32_t offset) { return offset < table.strings_size ? table.strings + offset : ""; }

/* Copies host `index` as it was at one moment. When every read is torn, the host's location counts as unknown. */
static void read_host(uint32_t index, struct im_location *location) {
  struct im_host host;
  uint32_t seq;
  int looks = 0;
  bool whole = false;
  while (!whole && read_begin(&seq, &looks)) {
    memcpy(&host, &table.hosts[index], sizeof host);
    whole = read_ended(seq, &looks);
  }
  if (!whole) {
    memcpy(&host, &table.hosts[index], sizeof host);
    host.state = IM_LOCATE;
  }
  *location = (struct im_location){host.address, host.state, host.real, host.epoch, string_at(host.name)};
}

bool table_find_name(const char *name, struct im_location *location) {
  char lower[256];
  uint32_t hash = 2166136261u;
  size_t length = 0;
  for (; name[length]; length++) {
    if (length == sizeof lower - 1) return false;
    unsigned char c = (unsigned char)name[length];
    lower[length] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
  }
  if (length && lower[length - 1] == '.') length--;
  if (!length || !table.names_capacity) return false;
  lower[length] = 0;
  for (size_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)lower[i]) * 16777619u;
  for (uint32_t step = 0; step < table.names_capacity; step++) {
    struct im_name slot = table.names[(hash + step) & (table.names_capacity - 1)];
    if (!slot.hash && !slot.name) return false;
    if (slot.hash != hash || slot.host >= table.hosts_count || strcmp(string_at(slot.name), lower)) continue;
    read_host(slot.host, location);
    return true;
  }
  return false;
}

bool table_find_address(uint32_t address, struct im_location *location) {
  uint32_t low = 0, high = table.hosts_count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2, found = __atomic_load_n(&table.hosts[middle].address, __ATOMIC_RELAXED);
    if (found == address) {
      read_host(middle, location);
      return true;
    }
    if (found < address)
      low = middle + 1;
    else
      high = middle;
  }
  return false;
}

static uint32_t ports_count(void) {
  uint32_t count = __atomic_load_n(table.ports_count, __ATOMIC_RELAXED);
  return count < table.ports_capacity ? count : table.ports_capacity;
}

/* Index of the first port of (address, port) or behind. */
static uint32_t lower_bound(uint32_t count, uint32_t address, uint16_t port) {
  uint32_t low = 0, high = count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    const struct im_port *at = &table.ports[middle];
    if (at->address < address || (at->address == address && at->port < port))
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static bool has_scope(const struct im_port *port, unsigned scopes) {
  return port->scope < 8 && scopes >> port->scope & 1;
}

/*
 * Of the addresses from `first` to `last`: by `port` as its guest knows it, or, when `real` is not 0, by its real
 * address and port.
 */
static bool find_port(uint32_t first, uint32_t last, uint32_t real, uint16_t port, unsigned scopes,
                      struct im_port *found) {
  uint32_t seq;
  int looks = 0;
  while (read_begin(&seq, &looks)) {
    bool hit = false;
    uint32_t count = ports_count();
    for (uint32_t i = lower_bound(count, first, real ? 0 : port); i < count && !hit; i++) {
      memcpy(found, &table.ports[i], sizeof *found);
      if (found->address > last || (!real && found->port != port)) break;
      hit = (!real || (found->real == real && found->real_port == port)) && has_scope(found, scopes);
    }
    if (read_ended(seq, &looks)) return hit;
  }
  return false;
}

bool table_find_port(uint32_t address, uint16_t port, unsigned scopes, struct im_port *found) {
  return find_port(address, address, 0, port, scopes, found);
}

bool table_find_real_port(uint32_t address, uint32_t real, uint16_t real_port, unsigned scopes, struct im_port *found) {
  return real && find_port(address, address, real, real_port, scopes, found);
}

bool table_find_extra(uint32_t real, uint16_t real_port, unsigned scopes, struct im_port *found) {
  return find_port(IM_LOOPBACK + 1, 0x7fffffffu, real, real_port, scopes, found) && found->address != IM_RESOLVER;
}

/* Clients are listed by addresses of their own, with the network's alias as what they really are. */
bool table_find_client(uint32_t address, uint16_t port, struct im_port *found) {
  return find_port(address, address, 0, port, IM_DATAGRAM(1u << IM_SCOPE_ANY), found) &&
         found->real == table.cluster.alias_base;
}

bool table_find_real_client(uint16_t real_port, struct im_port *found) {
  return find_port(0, UINT32_MAX, table.cluster.alias_base, real_port, IM_DATAGRAM(1u << IM_SCOPE_ANY), found);
}
