#include "interfaces.h"

#include "core/libc_files.h"
#include "core/pointer.h"
#include "core/table.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define LOOPBACK "lo"
/* Where there is no interface but loopback, as in an empty network namespace. */
#define MADE_UP "eth0"
#define MADE_UP_FLAGS (IFF_UP | IFF_BROADCAST | IFF_RUNNING | IFF_MULTICAST)

struct row {
  struct ifaddrs entry;
  struct sockaddr_storage address, mask, other;
  struct rtnl_link_stats counters;
  char name[IFNAMSIZ];
};

struct nic {
  char name[IFNAMSIZ];
  unsigned flags;
  bool real;
};

static bool is_loopback(const struct ifaddrs *at) { return at->ifa_flags & IFF_LOOPBACK; }

/* The interface that shows the virtual address: the first one that is up. */
static struct nic nic_of(const struct ifaddrs *list) {
  struct nic nic = {MADE_UP, MADE_UP_FLAGS, false};
  for (const struct ifaddrs *at = list; at && !nic.real; at = at->ifa_next) {
    if (is_loopback(at) || !(at->ifa_flags & IFF_UP) || strlen(at->ifa_name) >= IFNAMSIZ) continue;
    strcpy(nic.name, at->ifa_name);
    nic.flags = at->ifa_flags;
    nic.real = true;
  }
  return nic;
}

static socklen_t size_of(int family) {
  switch (family) {
  case AF_INET: return sizeof(struct sockaddr_in);
  case AF_INET6: return sizeof(struct sockaddr_in6);
  case AF_PACKET: return sizeof(struct sockaddr_ll);
  default: return 0;
  }
}

static struct sockaddr *copy(struct sockaddr_storage *to, const struct sockaddr *from, int family) {
  if (!from) return 0;
  memcpy(to, from, size_of(family));
  return (struct sockaddr *)to;
}

static struct sockaddr *internet(void *to, uint32_t address) {
  *(struct sockaddr_in *)to = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};
  return to;
}

static uint32_t broadcast(void) { return table_cluster()->self | ~table_cluster()->mask; }

static void fill(struct row *row, const struct ifaddrs *from) {
  int family = from->ifa_addr->sa_family;
  strcpy(row->name, from->ifa_name);
  row->entry = (struct ifaddrs){.ifa_name = row->name, .ifa_flags = from->ifa_flags};
  row->entry.ifa_addr = copy(&row->address, from->ifa_addr, family);
  row->entry.ifa_netmask = copy(&row->mask, from->ifa_netmask, family);
  row->entry.ifa_broadaddr = copy(&row->other, from->ifa_broadaddr, family);
  if (family != AF_PACKET || !from->ifa_data) return;
  memcpy(&row->counters, from->ifa_data, sizeof row->counters);
  row->entry.ifa_data = &row->counters;
}

static void fill_ours(struct row *row, const struct nic *nic) {
  strcpy(row->name, nic->name);
  row->entry = (struct ifaddrs){.ifa_name = row->name, .ifa_flags = nic->flags};
  row->entry.ifa_addr = internet(&row->address, table_cluster()->self);
  row->entry.ifa_netmask = internet(&row->mask, table_cluster()->mask);
  row->entry.ifa_broadaddr = internet(&row->other, broadcast());
}

/* What of the real list a guest sees, besides its own address. */
static bool is_shown(const struct ifaddrs *at, const struct nic *nic, int family) {
  if (!at->ifa_addr || at->ifa_addr->sa_family != family || strlen(at->ifa_name) >= IFNAMSIZ) return false;
  return is_loopback(at) || (family == AF_PACKET && !strcmp(at->ifa_name, nic->name));
}

int interfaces_list(struct ifaddrs **list) {
  static const int families[] = {AF_PACKET, AF_INET, AF_INET6};
  struct ifaddrs *real;
  size_t count = 1, used = 0;
  int error = libc_getifaddrs(&real);
  if (error) return error;
  for (const struct ifaddrs *at = real; at; at = at->ifa_next) count++;
  struct row *rows = calloc(count, sizeof *rows);
  if (rows) {
    struct nic nic = nic_of(real);
    for (int i = 0; i < 3; i++) {
      for (const struct ifaddrs *at = real; at; at = at->ifa_next)
        if (is_shown(at, &nic, families[i])) fill(&rows[used++], at);
      if (families[i] == AF_INET) fill_ours(&rows[used++], &nic);
    }
    for (size_t i = 1; i < used; i++) rows[i - 1].entry.ifa_next = &rows[i].entry;
    *list = &rows[0].entry;
  }
  libc_freeifaddrs(real);
  if (rows) return 0;
  return libc_fail(ENOMEM);
}

void interfaces_free(struct ifaddrs *list) { free(list); }

static struct nic nic_now(void) {
  struct ifaddrs *real = 0;
  IM_KEEP_ERRNO;
  if (libc_getifaddrs(&real) != 0) real = 0;
  struct nic nic = nic_of(real);
  if (real) libc_freeifaddrs(real);
  return nic;
}

static int configuration(struct ifconf *all) {
  struct ifreq rows[2];
  struct nic nic = nic_now();
  memset(rows, 0, sizeof rows);
  strcpy(rows[0].ifr_name, LOOPBACK);
  internet(&rows[0].ifr_addr, INADDR_LOOPBACK);
  strcpy(rows[1].ifr_name, nic.name);
  internet(&rows[1].ifr_addr, table_cluster()->self);
  size_t room = all->ifc_req && all->ifc_len > 0 ? (size_t)all->ifc_len / sizeof rows[0] : 0;
  if (!all->ifc_req || room > 2) room = 2;
  if (all->ifc_req && !pointer_writable(all->ifc_req, room * sizeof rows[0])) return libc_fail(EFAULT);
  if (all->ifc_req) memcpy(all->ifc_req, rows, room * sizeof rows[0]);
  all->ifc_len = (int)(room * sizeof rows[0]);
  return 0;
}

/* What a guest sees of an interface is not the machine's, so it may not change the machine's. */
static bool is_setter(uint32_t request) {
  return request == SIOCSIFADDR || request == SIOCSIFNETMASK || request == SIOCSIFBRDADDR ||
         request == SIOCSIFDSTADDR || request == SIOCSIFFLAGS;
}

int interfaces_ioctl(int fd, unsigned long request, void *argument) {
  struct ifreq *one = argument;
  size_t size = (uint32_t)request == SIOCGIFCONF ? sizeof(struct ifconf) : sizeof *one;
  if (!pointer_writable(argument, size)) return libc_ioctl(fd, request, argument);
  if ((uint32_t)request == SIOCGIFCONF) return configuration(argument);
  if (is_setter((uint32_t)request)) return libc_fail(EPERM);
  if (!strncmp(one->ifr_name, LOOPBACK, IFNAMSIZ)) return libc_ioctl(fd, request, argument);
  struct nic nic = nic_now();
  bool ours = !strncmp(one->ifr_name, nic.name, IFNAMSIZ);
  switch ((uint32_t)request) {
  case SIOCGIFFLAGS:
    if (!ours || nic.real) return libc_ioctl(fd, request, argument);
    one->ifr_flags = (short)nic.flags;
    return 0;
  case SIOCGIFADDR:
  case SIOCGIFNETMASK:
  case SIOCGIFBRDADDR: break;
  default: return libc_ioctl(fd, request, argument);
  }
  if (!ours) {
    /* Another interface has no address; an interface that is not there stays so. */
    int result = libc_ioctl(fd, request, argument);
    if (result == 0) errno = EADDRNOTAVAIL;
    return -1;
  }
  uint32_t self = table_cluster()->self;
  bool address = (uint32_t)request == SIOCGIFADDR, mask = (uint32_t)request == SIOCGIFNETMASK;
  internet(&one->ifr_addr, address ? self : mask ? table_cluster()->mask : broadcast());
  return 0;
}
