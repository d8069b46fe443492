#include "replace.h"

#include "core/kernel.h"
#include "core/sockets.h"
#include "watches.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

/*
 * What a guest may have set before it connects or listens, and a connection would have from there. TCP_NODELAY is on at
 * a handed-off connection until the guest sets it: the guest's first small write would wait for the acknowledgement of
 * the header. SO_DONTROUTE, SO_BINDTODEVICE, IP_MINTTL, IPV6_MINHOPCOUNT and IP_OPTIONS are not here: they are about a
 * path of one hop, and the real one has more.
 */
struct option {
  int level, name;
};
/* SO_SNDBUF and SO_RCVBUF: what has been set stops the kernel from tuning it. IP_TOS changes SO_PRIORITY. */
static const struct option common[] = {{IPPROTO_TCP, TCP_NODELAY},      {SOL_SOCKET, SO_SNDBUF},
                                       {SOL_SOCKET, SO_RCVBUF},         {SOL_SOCKET, SO_REUSEADDR},
                                       {SOL_SOCKET, SO_REUSEPORT},      {SOL_SOCKET, SO_KEEPALIVE},
                                       {SOL_SOCKET, SO_BROADCAST},      {SOL_SOCKET, SO_LINGER},
                                       {SOL_SOCKET, SO_RCVLOWAT},       {SOL_SOCKET, SO_RCVTIMEO},
                                       {SOL_SOCKET, SO_SNDTIMEO},       {SOL_SOCKET, SO_OOBINLINE},
                                       {SOL_SOCKET, SO_TIMESTAMP},      {SOL_SOCKET, SO_MAX_PACING_RATE},
                                       {IPPROTO_TCP, TCP_CORK},         {IPPROTO_TCP, TCP_KEEPIDLE},
                                       {IPPROTO_TCP, TCP_KEEPINTVL},    {IPPROTO_TCP, TCP_KEEPCNT},
                                       {IPPROTO_TCP, TCP_USER_TIMEOUT}, {IPPROTO_TCP, TCP_SYNCNT},
                                       {IPPROTO_TCP, TCP_LINGER2},      {IPPROTO_TCP, TCP_NOTSENT_LOWAT},
                                       {IPPROTO_TCP, TCP_CONGESTION},   {IPPROTO_IP, IP_TOS},
                                       {SOL_SOCKET, SO_PRIORITY},       {IPPROTO_IP, IP_TTL},
                                       {IPPROTO_IP, IP_MTU_DISCOVER}};
/* Read only if a guest of this host has ever set one of them: a call each, at every connect and accept. */
static const struct option rare[] = {{SOL_SOCKET, 72}, /* SO_BUF_LOCK */
                                     {SOL_SOCKET, SO_TIMESTAMPNS},
                                     {SOL_SOCKET, SO_TIMESTAMPING},
                                     {SOL_SOCKET, 63}, /* SO_TIMESTAMP_NEW, and the two others like it */
                                     {SOL_SOCKET, 64},
                                     {SOL_SOCKET, 65},
                                     {SOL_SOCKET, SO_DEBUG},
                                     {SOL_SOCKET, SO_NO_CHECK},
                                     {SOL_SOCKET, SO_PASSCRED},
                                     {SOL_SOCKET, SO_PASSSEC},
                                     {SOL_SOCKET, SO_MARK},
                                     {SOL_SOCKET, SO_RXQ_OVFL},
                                     {SOL_SOCKET, SO_WIFI_STATUS},
                                     {SOL_SOCKET, SO_PEEK_OFF},
                                     {SOL_SOCKET, SO_NOFCS},
                                     {SOL_SOCKET, SO_SELECT_ERR_QUEUE},
                                     {SOL_SOCKET, SO_BUSY_POLL},
                                     {SOL_SOCKET, 60}, /* SO_ZEROCOPY: the names from here on are not in every header */
                                     {SOL_SOCKET, 61}, /* SO_TXTIME */
                                     {SOL_SOCKET, 69}, /* SO_PREFER_BUSY_POLL */
                                     {SOL_SOCKET, 70}, /* SO_BUSY_POLL_BUDGET */
                                     {SOL_SOCKET, 74}, /* SO_TXREHASH */
                                     {SOL_SOCKET, 75}, /* SO_RCVMARK */
                                     {SOL_SOCKET, 82}, /* SO_RCVPRIORITY */
                                     {IPPROTO_IP, IP_RECVOPTS},
                                     {IPPROTO_IP, IP_RETOPTS},
                                     {IPPROTO_IP, IP_PKTINFO},
                                     {IPPROTO_IP, IP_RECVERR},
                                     {IPPROTO_IP, IP_RECVTTL},
                                     {IPPROTO_IP, IP_RECVTOS},
                                     {IPPROTO_IP, IP_FREEBIND},
                                     {IPPROTO_IP, IP_PASSSEC},
                                     {IPPROTO_IP, IP_TRANSPARENT},
                                     {IPPROTO_IP, IP_ORIGDSTADDR},
                                     {IPPROTO_IP, IP_CHECKSUM},
                                     {IPPROTO_IP, 25}, /* IP_RECVFRAGSIZE */
                                     {IPPROTO_IP, 26}, /* IP_RECVERR_RFC4884 */
                                     {IPPROTO_IP, IP_MULTICAST_TTL},
                                     {IPPROTO_IP, IP_MULTICAST_LOOP},
                                     {IPPROTO_IP, IP_MULTICAST_ALL},
                                     {IPPROTO_IP, IP_UNICAST_IF},
                                     {IPPROTO_IP, 51}, /* IP_LOCAL_PORT_RANGE */
                                     {IPPROTO_TCP, TCP_WINDOW_CLAMP},
                                     {IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS},
                                     {IPPROTO_TCP, 27},           /* TCP_SAVE_SYN */
                                     {IPPROTO_TCP, 36},           /* TCP_INQ */
                                     {IPPROTO_TCP, 37},           /* TCP_TX_DELAY */
                                     {IPPROTO_TCP, 44},           /* TCP_RTO_MAX_MS */
                                     {IPPROTO_TCP, 45},           /* TCP_RTO_MIN_US */
                                     {IPPROTO_TCP, 46},           /* TCP_DELACK_MAX_US */
                                     {IPPROTO_IPV6, IPV6_TCLASS}, /* an IPv4 socket has none from here on */
                                     {IPPROTO_IPV6, IPV6_UNICAST_HOPS},
                                     {IPPROTO_IPV6, IPV6_MULTICAST_HOPS},
                                     {IPPROTO_IPV6, IPV6_MULTICAST_LOOP},
                                     {IPPROTO_IPV6, 29}, /* IPV6_MULTICAST_ALL */
                                     {IPPROTO_IPV6, IPV6_MTU_DISCOVER},
                                     {IPPROTO_IPV6, IPV6_RECVERR},
                                     {IPPROTO_IPV6, 11}, /* IPV6_FLOWINFO */
                                     {IPPROTO_IPV6, 33}, /* IPV6_FLOWINFO_SEND */
                                     {IPPROTO_IPV6, 30}, /* IPV6_ROUTER_ALERT_ISOLATE */
                                     {IPPROTO_IPV6, 31}, /* IPV6_RECVERR_RFC4884 */
                                     {IPPROTO_IPV6, IPV6_RECVPKTINFO},
                                     {IPPROTO_IPV6, IPV6_RECVHOPLIMIT},
                                     {IPPROTO_IPV6, IPV6_RECVRTHDR},
                                     {IPPROTO_IPV6, IPV6_RECVHOPOPTS},
                                     {IPPROTO_IPV6, IPV6_RECVDSTOPTS},
                                     {IPPROTO_IPV6, IPV6_RECVPATHMTU},
                                     {IPPROTO_IPV6, IPV6_RECVTCLASS},
                                     {IPPROTO_IPV6, IPV6_DONTFRAG},
                                     {IPPROTO_IPV6, IPV6_AUTOFLOWLABEL},
                                     {IPPROTO_IPV6, IPV6_ADDR_PREFERENCES},
                                     {IPPROTO_IPV6, IPV6_ORIGDSTADDR},
                                     {IPPROTO_IPV6, IPV6_TRANSPARENT},
                                     {IPPROTO_IPV6, IPV6_UNICAST_IF},
                                     {IPPROTO_IPV6, 77}, /* IPV6_RECVFRAGSIZE */
                                     {IPPROTO_IPV6, 78}, /* IPV6_FREEBIND */
                                     {IPPROTO_IPV6, 2},  /* IPV6_2292PKTINFO, and the four others of its time */
                                     {IPPROTO_IPV6, 3},
                                     {IPPROTO_IPV6, 4},
                                     {IPPROTO_IPV6, 5},
                                     {IPPROTO_IPV6, 8}};
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
    /* The kernel shows twice what was set. */
    if (option->level == SOL_SOCKET && (option->name == SO_SNDBUF || option->name == SO_RCVBUF)) value.number /= 2;
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
