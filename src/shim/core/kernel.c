#include "kernel.h"

#include <netinet/in.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

int kernel_int(int fd, int level, int name, int otherwise) {
  IM_KEEP_ERRNO;
  int value = otherwise;
  socklen_t size = sizeof value;
  return libc_getsockopt(fd, level, name, &value, &size) == 0 ? value : otherwise;
}

int kernel_family(int fd) { return kernel_int(fd, SOL_SOCKET, SO_DOMAIN, AF_INET); }

bool kernel_is_v6_only(int fd) { return kernel_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0); }

bool kernel_is_tcp(int fd) {
  int protocol = kernel_int(fd, SOL_SOCKET, SO_PROTOCOL, 0);
  return protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP;
}

bool kernel_local(int fd, struct im_addr *at) {
  IM_KEEP_ERRNO;
  struct sockaddr_storage address;
  socklen_t size = sizeof address;
  return libc_getsockname(fd, (struct sockaddr *)&address, &size) == 0 && addr_read(&address, size, at);
}

bool kernel_peer(int fd, struct im_addr *at) {
  IM_KEEP_ERRNO;
  struct sockaddr_storage address;
  socklen_t size = sizeof address;
  return libc_getpeername(fd, (struct sockaddr *)&address, &size) == 0 && addr_read(&address, size, at);
}

int kernel_bind(int fd, const struct im_addr *at) {
  struct sockaddr_storage address;
  socklen_t size = addr_write(at, &address);
  return libc_bind(fd, (struct sockaddr *)&address, size);
}

int kernel_connect(int fd, const struct im_addr *to) {
  struct sockaddr_storage address;
  socklen_t size = addr_write(to, &address);
  return libc_connect(fd, (struct sockaddr *)&address, size);
}

void kernel_disconnect(int fd) {
  struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
  libc_connect(fd, &nowhere, sizeof nowhere);
}

void kernel_bind_source(int fd, const struct im_addr *to, uint32_t source) {
  struct im_addr from = addr_real(to, source, 0);
  int on = 1;
  libc_setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  kernel_bind(fd, &from);
}
