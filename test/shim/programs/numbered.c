/* numbered ADDRESS: the calls on sockets' addresses made by number, as libuv does: the guest sees its own addresses. */
#include "case.h"
#include <sys/syscall.h>

static struct sockaddr_in name(long call, int fd) {
  struct sockaddr_in name = {0};
  socklen_t size = sizeof name;
  CHECK(syscall(call, fd, &name, &size) == 0 && size == sizeof name);
  return name;
}

static void streams(const char *own) {
  struct sockaddr_in where = at(own, 7001), from;
  socklen_t size = sizeof from;
  int listener = tcp(0), client = tcp(0), on = 1;
  CHECK(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0);
  CHECK(syscall(SYS_bind, listener, &where, sizeof where) == 0);
  CHECK(syscall(SYS_listen, listener, 5) == 0);
  CHECK(same(name(SYS_getsockname, listener), where));
  CHECK(syscall(SYS_connect, client, &where, sizeof where) == 0);
  CHECK(same(name(SYS_getpeername, client), where));
  int accepted = (int)syscall(SYS_accept4, listener, &from, &size, SOCK_CLOEXEC);
  CHECK(accepted >= 0 && same(from, name(SYS_getsockname, client)));
  CHECK(from.sin_addr.s_addr == inet_addr(own));
}

static void datagrams(const char *own) {
  struct sockaddr_in where = at(own, 7002), from;
  char text[8] = "";
  socklen_t size = sizeof from;
  int server = socket(AF_INET, SOCK_DGRAM, 0), client = socket(AF_INET, SOCK_DGRAM, 0);
  CHECK(syscall(SYS_bind, server, &where, sizeof where) == 0);
  struct iovec part = {"abc", 3}, room = {text, sizeof text};
  struct mmsghdr out = {
      .msg_hdr = {.msg_name = &where, .msg_namelen = sizeof where, .msg_iov = &part, .msg_iovlen = 1}};
  struct mmsghdr in = {.msg_hdr = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &room, .msg_iovlen = 1}};
  CHECK(syscall(SYS_sendmmsg, client, &out, 1, 0) == 1 && out.msg_len == 3);
  wait_for(server, POLLIN);
  CHECK(syscall(SYS_recvmmsg, server, &in, 1, 0, 0) == 1 && in.msg_len == 3 && !memcmp(text, "abc", 3));
  CHECK(from.sin_addr.s_addr == inet_addr(own));
  CHECK(syscall(SYS_sendmsg, client, &out.msg_hdr, 0) == 3);
  wait_for(server, POLLIN);
  CHECK(syscall(SYS_recvmsg, server, &in.msg_hdr, 0) == 3 && from.sin_addr.s_addr == inet_addr(own));
  CHECK(syscall(SYS_sendto, client, "ab", 2, 0, &where, sizeof where) == 2);
  wait_for(server, POLLIN);
  CHECK(syscall(SYS_recvfrom, server, text, sizeof text, 0, &from, &size) == 2);
  CHECK(from.sin_addr.s_addr == inet_addr(own));
}

/* What arrives at ::1 comes from ::1. */
static void loopback6(int protocol) {
  struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback}, own = name, from;
  socklen_t size = sizeof name;
  char text[8];
  int server = socket(AF_INET6, SOCK_DGRAM, protocol), client = socket(AF_INET6, SOCK_DGRAM, protocol);
  if (server < 0 && errno == EPROTONOSUPPORT) return; /* no UDP-Lite in this kernel */
  CHECK(bind(server, (struct sockaddr *)&name, size) == 0 && bind(client, (struct sockaddr *)&own, size) == 0);
  CHECK(getsockname(server, (struct sockaddr *)&name, &size) == 0);
  CHECK(getsockname(client, (struct sockaddr *)&own, &size) == 0);
  CHECK(sendto(client, "ab", 2, 0, (struct sockaddr *)&name, size) == 2);
  wait_for(server, POLLIN);
  CHECK(recvfrom(server, text, sizeof text, 0, (struct sockaddr *)&from, &size) == 2);
  CHECK(!memcmp(&from, &own, sizeof own));
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  streams(argv[1]);
  datagrams(argv[1]);
  loopback6(IPPROTO_UDP);
  loopback6(IPPROTO_UDPLITE);
  say("ok");
  return 0;
}
