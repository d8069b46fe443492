#include "replace.h"

#include "core/kernel.h"
#include "core/sockets.h"
#include "watches.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>

/*
 * What a guest may have set before it connects or listens, and a connection would have from there. TCP_NODELAY is on at
 * a handed-off connection until the guest sets it: the guest's first small write would wait for the acknowledgement of
 * the header. SO_DONTROUTE, SO_BINDTODEVICE, IP_MINTTL, IPV6_MINHOPCOUNT and IP_OPTIONS are not here: they are about a
 * path of one hop, and the real one has more.
 */
struct option {
  int level, name;
  enum { AS_IS, DOUBLED } kind; /* DOUBLED: the kernel shows twice what was set */
};
static const struct option common[] = {
    {IPPROTO_TCP, TCP_NODELAY, AS_IS},
    {SOL_SOCKET, SO_SNDBUF, DOUBLED}, /* what has been set stops the kernel from tuning it */
    {SOL_SOCKET, SO_RCVBUF, DOUBLED},
    {SOL_SOCKET, SO_REUSEADDR, AS_IS},
    {SOL_SOCKET, SO_REUSEPORT, AS_IS},
    {SOL_SOCKET, SO_KEEPALIVE, AS_IS},
    {SOL_SOCKET, SO_BROADCAST, AS_IS},
    {SOL_SOCKET, SO_LINGER, AS_IS},
    {SOL_SOCKET, SO_RCVLOWAT, AS_IS},
    {SOL_SOCKET, SO_RCVTIMEO, AS_IS},
    {SOL_SOCKET, SO_SNDTIMEO, AS_IS},
    {SOL_SOCKET, SO_OOBINLINE, AS_IS},
    {SOL_SOCKET, SO_TIMESTAMP, AS_IS},
    {SOL_SOCKET, SO_MAX_PACING_RATE, AS_IS},
    {IPPROTO_TCP, TCP_CORK, AS_IS},
    {IPPROTO_TCP, TCP_KEEPIDLE, AS_IS},
    {IPPROTO_TCP, TCP_KEEPINTVL, AS_IS},
    {IPPROTO_TCP, TCP_KEEPCNT, AS_IS},
    {IPPROTO_TCP, TCP_USER_TIMEOUT, AS_IS},
    {IPPROTO_TCP, TCP_SYNCNT, AS_IS},
    {IPPROTO_TCP, TCP_LINGER2, AS_IS},
    {IPPROTO_TCP, TCP_NOTSENT_LOWAT, AS_IS},
    {IPPROTO_TCP, TCP_CONGESTION, AS_IS},
    {IPPROTO_IP, IP_TOS, AS_IS}, /* changes the priority */
    {SOL_SOCKET, SO_PRIORITY, AS_IS},
    {IPPROTO_IP, IP_TTL, AS_IS},
    {IPPROTO_IP, IP_MTU_DISCOVER, AS_IS}};
/* Read only if a guest of this host has ever set one of them: a call each, at every connect and accept. */
static const struct option rare[] = {
    {SOL_SOCKET, 72, AS_IS}, /* SO_BUF_LOCK */
    {SOL_SOCKET, SO_TIMESTAMPNS, AS_IS},
    {SOL_SOCKET, SO_TIMESTAMPING, AS_IS},
    {SOL_SOCKET, 63, AS_IS}, /* SO_TIMESTAMP_NEW, and the two others like it */
    {SOL_SOCKET, 64, AS_IS},
    {SOL_SOCKET, 65, AS_IS},
    {SOL_SOCKET, SO_DEBUG, AS_IS},
    {SOL_SOCKET, SO_NO_CHECK, AS_IS},
    {SOL_SOCKET, SO_PASSCRED, AS_IS},
    {SOL_SOCKET, SO_PASSSEC, AS_IS},
    {SOL_SOCKET, SO_MARK, AS_IS},
    {SOL_SOCKET, SO_RXQ_OVFL, AS_IS},
    {SOL_SOCKET, SO_WIFI_STATUS, AS_IS},
    {SOL_SOCKET, SO_PEEK_OFF, AS_IS},
    {SOL_SOCKET, SO_NOFCS, AS_IS},
    {SOL_SOCKET, SO_SELECT_ERR_QUEUE, AS_IS},
    {SOL_SOCKET, SO_BUSY_POLL, AS_IS},
    {SOL_SOCKET, 60, AS_IS}, /* SO_ZEROCOPY: the names from here on are not in every header */
    {SOL_SOCKET, 61, AS_IS}, /* SO_TXTIME */
    {SOL_SOCKET, 69, AS_IS}, /* SO_PREFER_BUSY_POLL */
    {SOL_SOCKET, 70, AS_IS}, /* SO_BUSY_POLL_BUDGET */
    {SOL_SOCKET, 74, AS_IS}, /* SO_TXREHASH */
    {SOL_SOCKET, 75, AS_IS}, /* SO_RCVMARK */
    {SOL_SOCKET, 82, AS_IS}, /* SO_RCVPRIORITY */
    {IPPROTO_IP, IP_RECVOPTS, AS_IS},
    {IPPROTO_IP, IP_RETOPTS, AS_IS},
    {IPPROTO_IP, IP_PKTINFO, AS_IS},
    {IPPROTO_IP, IP_RECVERR, AS_IS},
    {IPPROTO_IP, IP_RECVTTL, AS_IS},
    {IPPROTO_IP, IP_RECVTOS, AS_IS},
    {IPPROTO_IP, IP_FREEBIND, AS_IS},
    {IPPROTO_IP, IP_PASSSEC, AS_IS},
    {IPPROTO_IP, IP_TRANSPARENT, AS_IS},
    {IPPROTO_IP, IP_ORIGDSTADDR, AS_IS},
    {IPPROTO_IP, IP_CHECKSUM, AS_IS},
    {IPPROTO_IP, 25, AS_IS}, /* IP_RECVFRAGSIZE */
    {IPPROTO_IP, 26, AS_IS}, /* IP_RECVERR_RFC4884 */
    {IPPROTO_IP, IP_MULTICAST_TTL, AS_IS},
    {IPPROTO_IP, IP_MULTICAST_LOOP, AS_IS},
    {IPPROTO_IP, IP_MULTICAST_ALL, AS_IS},
    {IPPROTO_IP, IP_UNICAST_IF, AS_IS},
    {IPPROTO_IP, 51, AS_IS}, /* IP_LOCAL_PORT_RANGE */
    {IPPROTO_TCP, TCP_WINDOW_CLAMP, AS_IS},
    {IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, AS_IS},
    {IPPROTO_TCP, 27, AS_IS},           /* TCP_SAVE_SYN */
    {IPPROTO_TCP, 36, AS_IS},           /* TCP_INQ */
    {IPPROTO_TCP, 37, AS_IS},           /* TCP_TX_DELAY */
    {IPPROTO_TCP, 44, AS_IS},           /* TCP_RTO_MAX_MS */
    {IPPROTO_TCP, 45, AS_IS},           /* TCP_RTO_MIN_US */
    {IPPROTO_TCP, 46, AS_IS},           /* TCP_DELACK_MAX_US */
    {IPPROTO_IPV6, IPV6_TCLASS, AS_IS}, /* an IPv4 socket has none from here on */
    {IPPROTO_IPV6, IPV6_UNICAST_HOPS, AS_IS},
    {IPPROTO_IPV6, IPV6_MULTICAST_HOPS, AS_IS},
    {IPPROTO_IPV6, IPV6_MULTICAST_LOOP, AS_IS},
    {IPPROTO_IPV6, 29, AS_IS}, /* IPV6_MULTICAST_ALL */
    {IPPROTO_IPV6, IPV6_MTU_DISCOVER, AS_IS},
    {IPPROTO_IPV6, IPV6_RECVERR, AS_IS},
    {IPPROTO_IPV6, 11, AS_IS}, /* IPV6_FLOWINFO */
    {IPPROTO_IPV6, 33, AS_IS}, /* IPV6_FLOWINFO_SEND */
    {IPPROTO_IPV6, 30, AS_IS}, /* IPV6_ROUTER_ALERT_ISOLATE */
    {IPPROTO_IPV6, 31, AS_IS}, /* IPV6_RECVERR_RFC4884 */
    {IPPROTO_IPV6, IPV6_RECVPKTINFO, AS_IS},
    {IPPROTO_IPV6, IPV6_RECVHOPLIMIT, AS_IS},
    {IPPROTO_IPV6, IPV6_RECVRTHDR, AS_IS},
    {IPPROTO_IPV6, IPV6_RECVHOPOPTS, AS_IS},
    {IPPROTO_IPV6, IPV6_RECVDSTOPTS, AS_IS},
    {IPPROTO_IPV6, IPV6_RECVPATHMTU, AS_IS},
    {IPPROTO_IPV6, IPV6_RECVTCLASS, AS_IS},
    {IPPROTO_IPV6, IPV6_DONTFRAG, AS_IS},
    {IPPROTO_IPV6, IPV6_AUTOFLOWLABEL, AS_IS},
    {IPPROTO_IPV6, IPV6_ADDR_PREFERENCES, AS_IS},
    {IPPROTO_IPV6, IPV6_ORIGDSTADDR, AS_IS},
    {IPPROTO_IPV6, IPV6_TRANSPARENT, AS_IS},
    {IPPROTO_IPV6, IPV6_UNICAST_IF, AS_IS},
    {IPPROTO_IPV6, 77, AS_IS}, /* IPV6_RECVFRAGSIZE */
    {IPPROTO_IPV6, 78, AS_IS}, /* IPV6_FREEBIND */
    {IPPROTO_IPV6, 2, AS_IS},  /* IPV6_2292PKTINFO, and the four others of its time */
    {IPPROTO_IPV6, 3, AS_IS},
    {IPPROTO_IPV6, 4, AS_IS},
    {IPPROTO_IPV6, 5, AS_IS},
    {IPPROTO_IPV6, 8, AS_IS}};
#define COUNT(array) (sizeof(array) / sizeof *(array))
#define OPTIONS (COUNT(common) + COUNT(rare))

/* The common ones first. */
static const struct option *option_at(size_t i) { return i < COUNT(common) ? &common[i] : &rare[i - COUNT(common)]; }

static bool is_rare(int level, int name) {
  if (level == SOL_SOCKET && (name == SO_ATTACH_FILTER || name == SO_LOCK_FILTER)) return true;
  if (level == IPPROTO_TCP && name == 30) return true; /* TCP_FASTOPEN_CONNECT: see connect.c */
  for (size_t i = 0; i < COUNT(rare); i++)
    if (rare[i].name == name && rare[i].level == level) return true;
  return false;
}

void replace_note(int level, int name) {
  if (!sockets_rare() && is_rare(level, name)) sockets_note_rare();
}

struct value {
  socklen_t size; /* 0: there is none */
  union {
    char bytes[16];
    int number;
  };
};

static struct value value_of(int fd, const struct option *option) {
  struct value value = {.size = sizeof value.bytes};
  if (libc_getsockopt(fd, option->level, option->name, value.bytes, &value.size) != 0) value.size = 0;
  return value;
}

/* The options of a new socket. Read once; NULL while that is being done, or was given up by a fork. */
static const struct value *untouched(void) {
  static struct value values[OPTIONS];
  static _Atomic int stage; /* 0: not taken, 1: being taken, 2: there */
  int expected = 0, fd;
  if (stage == 2) return values;
  if (!atomic_compare_exchange_strong(&stage, &expected, 1)) return 0;
  /* Such a socket has the options of IPv4 too, as they are. */
  fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    stage = 0;
    return 0;
  }
  for (size_t i = 0; i < OPTIONS; i++) values[i] = value_of(fd, option_at(i));
  libc_close(fd);
  stage = 2;
  return values;
}

void replace_option(int from, int to, int level, int name) {
  char value[16];
  socklen_t size = sizeof value;
  if (libc_getsockopt(from, level, name, value, &size) == 0) libc_setsockopt(to, level, name, value, size);
}

/*
 * A classic program, as it was given; one of eBPF is not shown to anybody. Then the lock, which allows no other
 * program.
 */
static void replace_filter(int from, int to) {
  socklen_t count = 0;
  if (libc_getsockopt(from, SOL_SOCKET, SO_GET_FILTER, 0, &count) == 0 && count > 0 && count <= BPF_MAXINSNS) {
    /* Pages of its own: it may be larger than the guest's stack. */
    size_t size = count * sizeof(struct sock_filter);
    void *code = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (code != MAP_FAILED) {
      if (libc_getsockopt(from, SOL_SOCKET, SO_GET_FILTER, code, &count) == 0) {
        struct sock_fprog program = {(unsigned short)count, code};
        libc_setsockopt(to, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
      }
      munmap(code, size);
    }
  }
  replace_option(from, to, SOL_SOCKET, SO_LOCK_FILTER);
}

void replace_options(int from, int to) {
  const struct value *defaults = untouched();
  int family = kernel_int(from, SOL_SOCKET, SO_DOMAIN, AF_INET6);
  size_t count = sockets_rare() ? OPTIONS : COUNT(common);
  for (size_t i = 0; i < count; i++) {
    const struct option *option = option_at(i);
    if (option->level == IPPROTO_IPV6 && family == AF_INET) continue; /* it has none: no call is spent on it */
    struct value value = value_of(from, option);
    bool set = !defaults || value.size != defaults[i].size || memcmp(value.bytes, defaults[i].bytes, value.size) != 0;
    if (!value.size || !set) continue;
    if (option->kind == DOUBLED) value.number /= 2;
    libc_setsockopt(to, option->level, option->name, value.bytes, value.size);
  }
  if (sockets_rare()) replace_filter(from, to);
}

void replace_family(int like, int fresh) {
  const int four = AF_INET;
  if (kernel_int(like, SOL_SOCKET, SO_DOMAIN, AF_INET6) == AF_INET)
    libc_setsockopt(fresh, IPPROTO_IPV6, IPV6_ADDRFORM, &four, sizeof four);
}

void replace_owner(int from, int to) {
  struct f_owner_ex owner = {0};
  int number = fcntl(from, F_GETSIG);
  if (fcntl(from, F_GETOWN_EX, &owner) == 0 && owner.pid) fcntl(to, F_SETOWN_EX, &owner);
  if (number > 0) fcntl(to, F_SETSIG, number);
}

static bool bind_any(int fd, const struct im_addr *local) {
  struct im_addr any = {0, local->port, local->form};
  if (kernel_bind(fd, &any) == 0) return true;
  any.port = 0;
  return kernel_bind(fd, &any) == 0;
}

bool replace_with(int fd, int fresh) {
  int status = fcntl(fd, F_GETFL), flags = fcntl(fd, F_GETFD);
  if (status < 0 || flags < 0) return false;
  fcntl(fresh, F_SETFL, status & ~O_ASYNC);
  watches_hide(fd);
  bool done = libc_dup3(fresh, fd, flags & FD_CLOEXEC ? O_CLOEXEC : 0) >= 0;
  if (status & O_ASYNC) fcntl(fd, F_SETFL, status); /* with the number that its signals carry */
  IM_KEEP_ERRNO;
  watches_show(fd);
  return done;
}

bool replace_bound(int fd) {
  struct im_socket socket_info;
  IM_KEEP_ERRNO;
  bool done = false;
  if (!sockets_has(fd, IM_HAS_LOCAL, &socket_info) || socket_info.local.ip != 0) return false;
  int fresh = socket(addr_family(socket_info.local.form), SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fresh >= 0) {
    /* The old one still holds the port, at another address. Its own settings are copied when that is done. */
    int reuse = 1, kept = kernel_int(fd, SOL_SOCKET, SO_REUSEADDR, 0);
    libc_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse);
    libc_setsockopt(fresh, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse);
    bool bound = bind_any(fresh, &socket_info.local);
    libc_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &kept, sizeof kept);
    libc_setsockopt(fresh, SOL_SOCKET, SO_REUSEADDR, &kept, sizeof kept);
    replace_option(fd, fresh, SOL_SOCKET, SO_REUSEPORT);
    replace_options(fd, fresh);
    replace_owner(fd, fresh);
    done = bound && replace_with(fd, fresh);
    libc_close(fresh);
  }
  return done;
}
