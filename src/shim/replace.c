#include "replace.h"

#include "faces.h"
#include "sockets.h"
#include "watches.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/time.h>

/* What a guest may have set before it connects, and a new socket does not have by itself. */
static const struct {
  int level, name;
} options[] = {{SOL_SOCKET, SO_REUSEADDR},      {SOL_SOCKET, SO_REUSEPORT},
               {SOL_SOCKET, SO_KEEPALIVE},      {SOL_SOCKET, SO_LINGER},
               {SOL_SOCKET, SO_RCVTIMEO},       {SOL_SOCKET, SO_SNDTIMEO},
               {SOL_SOCKET, SO_PRIORITY},       {SOL_SOCKET, SO_OOBINLINE},
               {IPPROTO_TCP, TCP_NODELAY},      {IPPROTO_TCP, TCP_KEEPIDLE},
               {IPPROTO_TCP, TCP_KEEPINTVL},    {IPPROTO_TCP, TCP_KEEPCNT},
               {IPPROTO_TCP, TCP_USER_TIMEOUT}, {IPPROTO_TCP, TCP_SYNCNT},
               {IPPROTO_TCP, TCP_QUICKACK},     {IPPROTO_IP, IP_TOS}};

static void copy_options(int from, int to) {
  for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
    char value[64];
    socklen_t size = sizeof value;
    if (libc_getsockopt(from, options[i].level, options[i].name, value, &size) == 0)
      libc_setsockopt(to, options[i].level, options[i].name, value, size);
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
  int status = fcntl(fd, F_GETFL), flags = fcntl(fd, F_GETFD), fresh = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fresh >= 0 && status >= 0 && flags >= 0) {
    /* The old one still holds the port, at another address. Its own setting is copied when that is done. */
    int reuse = 1, kept = 0;
    socklen_t size = sizeof kept;
    libc_getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &kept, &size);
    libc_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse);
    libc_setsockopt(fresh, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse);
    bool bound = bind_any(fresh, &socket_info.local);
    libc_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &kept, sizeof kept);
    copy_options(fd, fresh);
    if (bound) {
      fcntl(fresh, F_SETFL, status);
      watches_hide(fd);
      done = libc_dup3(fresh, fd, flags & FD_CLOEXEC ? O_CLOEXEC : 0) >= 0;
      watches_show(fd);
    }
  }
  if (fresh >= 0) libc_close(fresh);
  errno = saved;
  return done;
}
