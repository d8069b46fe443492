#include "replace.h"

#include "faces.h"
#include "sockets.h"
#include "watches.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/time.h>

/*
 * What a guest may have set before it connects or listens, and a connection would have from there. TCP_NODELAY is on at a
 * carried connection until the guest sets it: the guest's first small write would wait for the acknowledgement of the header.
 */
static const struct option {
  int level, name;
  enum { AS_IS, DOUBLED } kind; /* DOUBLED: the kernel shows twice what was set */
} options[] = {{IPPROTO_TCP, TCP_NODELAY, AS_IS},
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
#define OPTIONS (sizeof options / sizeof *options)

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

/* What a socket has that nobody has touched. Taken once; while that is being done, or was given up by a fork: NULL. */
static const struct value *untouched(void) {
  static struct value values[OPTIONS];
  static _Atomic int stage; /* 0: not taken, 1: being taken, 2: there */
  int expected = 0, fd;
  if (stage == 2) return values;
  if (!atomic_compare_exchange_strong(&stage, &expected, 1)) return 0;
  if ((fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0) {
    stage = 0;
    return 0;
  }
  for (size_t i = 0; i < OPTIONS; i++) values[i] = value_of(fd, &options[i]);
  libc_close(fd);
  stage = 2;
  return values;
}

void replace_option(int from, int to, int level, int name) {
  char value[16];
  socklen_t size = sizeof value;
  if (libc_getsockopt(from, level, name, value, &size) == 0) libc_setsockopt(to, level, name, value, size);
}

void replace_options(int from, int to) {
  const struct value *defaults = untouched();
  for (size_t i = 0; i < OPTIONS; i++) {
    const struct option *option = &options[i];
    struct value value = value_of(from, option);
    bool set = !defaults || value.size != defaults[i].size || memcmp(value.bytes, defaults[i].bytes, value.size) != 0;
    if (!value.size || !set) continue;
    if (option->kind == DOUBLED) value.number /= 2;
    libc_setsockopt(to, option->level, option->name, value.bytes, value.size);
  }
}

static bool bind_any(int fd, const struct im_addr *local) {
  struct sockaddr_storage address;
  struct im_addr any = {0, local->port, local->form};
  socklen_t size = addr_write(&any, &address);
  if (libc_bind(fd, (struct sockaddr *)&address, size) == 0) return true;
  any.port = 0;
  size = addr_write(&any, &address);
  return libc_bind(fd, (struct sockaddr *)&address, size) == 0;
}

bool replace_with(int fd, int fresh) {
  int status = fcntl(fd, F_GETFL), flags = fcntl(fd, F_GETFD);
  if (status < 0 || flags < 0) return false;
  fcntl(fresh, F_SETFL, status);
  watches_hide(fd);
  bool done = libc_dup3(fresh, fd, flags & FD_CLOEXEC ? O_CLOEXEC : 0) >= 0;
  int saved = errno;
  watches_show(fd);
  errno = saved;
  return done;
}

bool replace_bound(int fd) {
  struct im_socket socket_info;
  int saved = errno;
  bool done = false;
  if (!faces_flat() || !sockets_get(sockets_cookie(fd), &socket_info) || !(socket_info.flags & IM_HAS_LOCAL) ||
      socket_info.local.ip != 0) {
    errno = saved;
    return false;
  }
  int family = socket_info.local.form == IM_FORM_V4 ? AF_INET : AF_INET6;
  int fresh = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fresh >= 0) {
    /* The old one still holds the port, at another address. Its own settings are copied when that is done. */
    int reuse = 1, kept = 0, shared = 0;
    socklen_t size = sizeof kept;
    libc_getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &kept, &size);
    libc_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse);
    libc_setsockopt(fresh, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse);
    bool bound = bind_any(fresh, &socket_info.local);
    libc_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &kept, sizeof kept);
    libc_setsockopt(fresh, SOL_SOCKET, SO_REUSEADDR, &kept, sizeof kept);
    if (libc_getsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &shared, &size) == 0)
      libc_setsockopt(fresh, SOL_SOCKET, SO_REUSEPORT, &shared, sizeof shared);
    replace_options(fd, fresh);
    done = bound && replace_with(fd, fresh);
    libc_close(fresh);
  }
  errno = saved;
  return done;
}
