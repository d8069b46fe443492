/* fast_open HOST PORT: connects by what is sent with MSG_FASTOPEN, in every call that takes it, to an echo server. */
#include "case.h"

#include <sys/syscall.h>
#include <sys/uio.h>

#define FAST 0x20000000 /* MSG_FASTOPEN */

typedef ssize_t (*sender)(int fd, const char *text, size_t size, int flags, struct sockaddr_in *to);

static ssize_t by_sendto(int fd, const char *text, size_t size, int flags, struct sockaddr_in *to) {
  return sendto(fd, text, size, flags, (struct sockaddr *)to, sizeof *to);
}

static ssize_t by_sendmsg(int fd, const char *text, size_t size, int flags, struct sockaddr_in *to) {
  struct iovec part = {(void *)(uintptr_t)text, size};
  struct msghdr message = {.msg_name = to, .msg_namelen = sizeof *to, .msg_iov = &part, .msg_iovlen = 1};
  return sendmsg(fd, &message, flags);
}

static ssize_t by_sendmmsg(int fd, const char *text, size_t size, int flags, struct sockaddr_in *to) {
  struct iovec part = {(void *)(uintptr_t)text, size};
  struct mmsghdr message = {.msg_hdr = {.msg_name = to, .msg_namelen = sizeof *to, .msg_iov = &part, .msg_iovlen = 1}};
  int sent = sendmmsg(fd, &message, 1, flags);
  return sent == 1 ? (ssize_t)message.msg_len : sent;
}

static ssize_t by_number(int fd, const char *text, size_t size, int flags, struct sockaddr_in *to) {
  return syscall(SYS_sendto, fd, text, size, flags, to, sizeof *to);
}

static void answered(int fd, const char *text) {
  char got[16] = {0};
  size_t size = strlen(text), have = 0;
  while (have < size) {
    wait_for(fd, POLLIN);
    ssize_t more = recv(fd, got + have, sizeof got - 1 - have, 0);
    CHECK(more > 0, "after %zu", have);
    have += (size_t)more;
  }
  CHECK(!strcmp(got, text), "%s", got);
}

static void one(sender send_it, struct sockaddr_in to) {
  int fd = tcp(0);
  CHECK(send_it(fd, "fast\n", 5, FAST, &to) == 5);
  answered(fd, "fast\n");
  CHECK(same(name_of(fd, getpeername), to));
  CHECK(send_it(fd, "more\n", 5, FAST, &to) == -1 && errno == EISCONN);
  CHECK(send_it(fd, "last\n", 5, 0, &to) == 5);
  answered(fd, "last\n");
  close(fd);

  /* Without waiting nothing is taken, whether the descriptor or the call says so. */
  for (int once = 0; once < 2; once++) {
    fd = tcp(once ? 0 : SOCK_NONBLOCK);
    CHECK(send_it(fd, "fast\n", 5, FAST | (once ? MSG_DONTWAIT : 0), &to) == -1 && errno == EINPROGRESS);
    wait_for(fd, POLLOUT);
    CHECK(so_error(fd) == 0);
    CHECK(((fcntl(fd, F_GETFL) & O_NONBLOCK) == 0) == once, "%d", once);
    ping(fd);
    close(fd);
  }
}

/* With TCP_FASTOPEN_CONNECT a connect may say more than it knows; what is sent arrives. */
static void deferred(struct sockaddr_in to) {
  for (int flags = 0; flags <= SOCK_NONBLOCK; flags += SOCK_NONBLOCK) {
    int fd = tcp(flags), on = 1;
    CHECK(setsockopt(fd, IPPROTO_TCP, 30, &on, sizeof on) == 0);
    int result = connect_to(fd, to);
    CHECK(result == 0 || (flags && errno == EINPROGRESS));
    ping(fd);
    close(fd);
  }
}

static void datagram(struct sockaddr_in to) {
  int server = socket(AF_INET, SOCK_DGRAM, 0), client = socket(AF_INET, SOCK_DGRAM, 0);
  char got[8] = {0};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = 0;
  CHECK(bind_to(server, to) == 0);
  struct sockaddr_in there = name_of(server, getsockname);
  CHECK(by_sendto(client, "note", 4, FAST, &there) == 4);
  wait_for(server, POLLIN);
  CHECK(recv(server, got, sizeof got, 0) == 4 && !strcmp(got, "note"));
}

int main(int count, char **words) {
  CHECK(count == 3);
  struct sockaddr_in to = resolve(words[1], atoi(words[2]));
  static const sender senders[] = {by_sendto, by_sendmsg, by_sendmmsg, by_number};
  for (size_t i = 0; i < sizeof senders / sizeof *senders; i++) one(senders[i], to);
  deferred(to);
  datagram(to);
  return 0;
}
