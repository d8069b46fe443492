/*
 * datagrams OWN [HOST PORT]: UDP sockets of the host itself; OWN is its own virtual address (or, natively, any own
 * address). With HOST, which is not up and has an echo server at PORT when it is: says `pending` and goes on when it
 * answers. datagrams serve PORT: that server.
 */
#include <sys/file.h>
#include "case.h"

static int udp(int family) {
  int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct timeval limit = {.tv_sec = 10};
  CHECK(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
  return fd;
}

static int bound(const char *ip, int port) {
  int fd = udp(AF_INET);
  if (bind_to(fd, at(ip, port)) == 0) return fd;
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

static void put(int fd, const char *text, struct sockaddr_in to) {
  char name[64];
  errno = 7;
  CHECK(sendto(fd, text, strlen(text), 0, (struct sockaddr *)&to, sizeof to) == (ssize_t)strlen(text), "to %s",
        show(&to, name));
  CHECK(errno == 7);
}

static struct sockaddr_in get(int fd, const char *text) {
  char data[100] = {0};
  struct sockaddr_in from = {0};
  socklen_t size = sizeof from;
  ssize_t got = recvfrom(fd, data, sizeof data - 1, 0, (struct sockaddr *)&from, &size);
  CHECK(got >= 0 && !strcmp(data, text), "'%s', not '%s'", data, text);
  CHECK(size == sizeof from && from.sin_family == AF_INET);
  return from;
}

/* A client that is not connected, and one that is, both by `to`, each seeing the server there and seen at `from`. */
static void talk(int server, struct sockaddr_in to, const char *from) {
  char text[64];
  int client = udp(AF_INET);
  put(client, "one", to);
  struct sockaddr_in seen = get(server, "one");
  CHECK(!from || seen.sin_addr.s_addr == inet_addr(from), "%s", show(&seen, text));
  CHECK(seen.sin_port == name_of(client, getsockname).sin_port && name_of(client, getsockname).sin_addr.s_addr == 0);
  put(server, "two", seen);
  seen = get(client, "two");
  CHECK(same(seen, to), "%s", show(&seen, text));
  close(client);

  client = udp(AF_INET);
  CHECK(connect_to(client, to) == 0 && same(name_of(client, getpeername), to));
  CHECK(send(client, "three", 5, 0) == 5);
  seen = get(server, "three");
  CHECK(same(seen, name_of(client, getsockname)), "%s", show(&seen, text));
  put(server, "four", seen);
  seen = get(client, "four");
  CHECK(same(seen, to), "%s", show(&seen, text));
  close(client);
}

static void refused(struct sockaddr_in to) {
  char byte;
  int fd = udp(AF_INET);
  CHECK(connect_to(fd, to) == 0 && send(fd, "x", 1, 0) == 1);
  CHECK(recv(fd, &byte, 1, 0) == -1 && errno == ECONNREFUSED);
  close(fd);
}

static void scopes(const char *own, int port) {
  int any = bound("0.0.0.0", port);
  CHECK(any >= 0 && same(name_of(any, getsockname), at("0.0.0.0", port)));
  talk(any, at("127.0.0.1", port), "127.0.0.1");
  talk(any, at(own, port), 0);
  CHECK(bound("0.0.0.0", port) == -1 && errno == EADDRINUSE);
  CHECK(bind_to(any, at("0.0.0.0", port + 9)) == -1 && errno == EINVAL);
  close(any);
  int loop = bound("127.0.0.1", port + 1);
  CHECK(loop >= 0 && same(name_of(loop, getsockname), at("127.0.0.1", port + 1)));
  talk(loop, at("127.0.0.1", port + 1), "127.0.0.1");
  refused(at(own, port + 1));
  close(loop);
  int virtual = bound(own, port + 2);
  CHECK(virtual >= 0 && same(name_of(virtual, getsockname), at(own, port + 2)));
  talk(virtual, at(own, port + 2), 0);
  refused(at("127.0.0.1", port + 2));
  close(virtual);
  refused(at("127.0.0.1", port + 3));
  refused(at(own, port + 3));
}

static void many_at_once(const char *own) {
  int server = bound("0.0.0.0", 6510), client = udp(AF_INET);
  struct sockaddr_in to[2] = {at(own, 6510), at("127.0.0.1", 6510)}, from[2];
  char text[2][8] = {"first", "second"}, data[2][8] = {{0}};
  struct iovec out[2], in[2];
  struct mmsghdr sent[2] = {0}, got[2] = {0};
  for (int i = 0; i < 2; i++) {
    out[i] = (struct iovec){text[i], strlen(text[i])};
    in[i] = (struct iovec){data[i], sizeof data[i]};
    sent[i].msg_hdr = (struct msghdr){
        .msg_name = &to[i], .msg_namelen = sizeof to[i], .msg_iov = &out[i], .msg_iovlen = 1};
    got[i].msg_hdr = (struct msghdr){
        .msg_name = &from[i], .msg_namelen = sizeof from[i], .msg_iov = &in[i], .msg_iovlen = 1};
  }
  CHECK(sendmmsg(client, sent, 2, 0) == 2 && sent[1].msg_len == 6);
  CHECK(recvmmsg(server, got, 2, 0, 0) == 2 && !strcmp(data[0], "first") && !strcmp(data[1], "second"));
  CHECK(from[1].sin_addr.s_addr == inet_addr("127.0.0.1") && from[0].sin_port == from[1].sin_port);

  /* Short buffers and peeking are as ever; so is a name that nobody wants. */
  struct sockaddr_in seen = {0};
  socklen_t size = 4;
  put(client, "longer than it", to[0]);
  CHECK(recvfrom(server, data[0], 4, MSG_PEEK | MSG_TRUNC, (struct sockaddr *)&seen, &size) == 14 &&
        size == sizeof seen);
  CHECK(seen.sin_port && !seen.sin_addr.s_addr);
  CHECK(recvfrom(server, data[0], 4, 0, 0, 0) == 4);
  CHECK(sendto(client, "", 0, 0, (struct sockaddr *)&to[0], sizeof to[0]) == 0 && recv(server, data[0], 4, 0) == 0);

  /* A server that answers from the address that it was asked at. */
  int on = 1;
  union {
    struct cmsghdr header;
    char bytes[128];
  } control;
  CHECK(setsockopt(server, IPPROTO_IP, IP_PKTINFO, &on, sizeof on) == 0);
  put(client, "x", to[0]);
  struct msghdr message = {.msg_name = &seen,
                           .msg_namelen = sizeof seen,
                           .msg_iov = in,
                           .msg_iovlen = 1,
                           .msg_control = &control,
                           .msg_controllen = sizeof control};
  CHECK(recvmsg(server, &message, 0) == 1);
  struct cmsghdr *info = CMSG_FIRSTHDR(&message);
  CHECK(info && info->cmsg_type == IP_PKTINFO);
  struct in_pktinfo where;
  memcpy(&where, CMSG_DATA(info), sizeof where);
  CHECK(where.ipi_addr.s_addr == inet_addr(own), "%x", where.ipi_addr.s_addr);
  in[0].iov_len = 1;
  CHECK(sendmsg(server, &message, 0) == 1);
  seen = get(client, "x");
  CHECK(same(seen, to[0]));
  close(server);
  close(client);
}

static void sixes(void) {
  int server = udp(AF_INET6), client = udp(AF_INET);
  struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(6520)}, from;
  socklen_t size = sizeof from;
  char byte, text[INET6_ADDRSTRLEN];
  CHECK(bind(server, (struct sockaddr *)&any, sizeof any) == 0);
  CHECK(getsockname(server, (struct sockaddr *)&from, &size) == 0 && !memcmp(&from, &any, sizeof any));
  put(client, "6", at("127.0.0.1", 6520));
  size = sizeof from;
  CHECK(recvfrom(server, &byte, 1, 0, (struct sockaddr *)&from, &size) == 1 && size == sizeof from);
  inet_ntop(AF_INET6, &from.sin6_addr, text, sizeof text);
  CHECK(!strcmp(text, "::ffff:127.0.0.1"), "%s", text);
  CHECK(sendto(server, "4", 1, 0, (struct sockaddr *)&from, size) == 1);
  struct sockaddr_in seen = get(client, "4");
  CHECK(same(seen, at("127.0.0.1", 6520)));
  close(server);
  close(client);
}

/* One socket that speaks to us, to what is no business of ours, and is connected to one and the other. */
static void both_worlds(const char *own) {
  int ours = bound("0.0.0.0", 6530), world = udp(AF_INET), client = udp(AF_INET);
  bind_past_shim(world, at("127.1.2.3", 6531));
  CHECK(bind_to(client, at("0.0.0.0", 0)) == 0);
  int port = ntohs(name_of(client, getsockname).sin_port);
  CHECK(port && name_of(client, getsockname).sin_addr.s_addr == 0);
  put(client, "a", at(own, 6530));
  put(client, "b", at("127.1.2.3", 6531));
  CHECK(ntohs(get(ours, "a").sin_port) == port);
  struct sockaddr_in seen = get(world, "b");
  CHECK(ntohs(seen.sin_port) == port);
  put(world, "c", seen);
  CHECK(same(get(client, "c"), at("127.1.2.3", 6531)));
  CHECK(connect_to(client, at(own, 6530)) == 0 && ntohs(name_of(client, getsockname).sin_port) == port);
  close(client);

  client = udp(AF_INET);
  struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
  CHECK(connect_to(client, at(own, 6530)) == 0 && send(client, "d", 1, 0) == 1);
  get(ours, "d");
  CHECK(connect(client, &nowhere, sizeof nowhere) == 0);
  struct sockaddr_in none;
  socklen_t size = sizeof none;
  CHECK(getpeername(client, (struct sockaddr *)&none, &size) == -1 && errno == ENOTCONN);
  CHECK(send(client, "x", 1, 0) == -1 && errno == EDESTADDRREQ);
  CHECK(connect_to(client, at("127.1.2.3", 6531)) == 0 && send(client, "e", 1, 0) == 1);
  /* The world would not know our own address. */
  CHECK(get(world, "e").sin_addr.s_addr == inet_addr("127.0.0.1"));
  CHECK(connect_to(client, at(own, 6530)) == 0 && send(client, "g", 1, 0) == 1);
  get(ours, "g");
  close(client);
  close(ours);
  close(world);
}

static int serve(int port) {
  char data[65536];
  struct sockaddr_in from;
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  CHECK(bind_to(fd, at("0.0.0.0", port)) == 0);
  say("listening");
  for (;;) {
    socklen_t size = sizeof from;
    ssize_t got = recvfrom(fd, data, sizeof data, 0, (struct sockaddr *)&from, &size);
    CHECK(got >= 0 && sendto(fd, data, (size_t)got, 0, (struct sockaddr *)&from, size) == got);
  }
}

/* While the host is not up nothing blocks; when it is, everything is there. */
static void wait_for_host(const char *host, int port) {
  static char large[65507], back[sizeof large + 1];
  struct sockaddr_in to = resolve(host, port);
  int plain = udp(AF_INET), connected = udp(AF_INET), big = udp(AF_INET);
  struct timeval limit = {.tv_sec = 20};
  double start = now_ms();
  put(plain, "held", to);
  CHECK(connect_to(connected, to) == 0 && send(connected, "this too", 8, 0) == 8);
  struct iovec parts[2] = {{"in ", 3}, {"parts", 5}};
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
  CHECK(sendmsg(connected, &message, MSG_DONTWAIT) == 8);
  CHECK(sendto(big, large, sizeof large, 0, (struct sockaddr *)&to, sizeof to) == sizeof large);
  CHECK(sendto(big, large, sizeof large + 1, 0, (struct sockaddr *)&to, sizeof to) == -1 && errno == EMSGSIZE);
  CHECK(now_ms() - start < 1000);
  CHECK(recv(plain, back, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
  setsockopt(plain, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  say("pending");
  CHECK(same(get(plain, "held"), to));
  char text[2][16] = {{0}};
  CHECK(recv(connected, text[0], 15, 0) == 8 && recv(connected, text[1], 15, 0) == 8);
  CHECK(!strcmp(text[0], "this too") != !strcmp(text[1], "this too"));
  CHECK(recv(big, back, sizeof back, 0) == sizeof large);
  put(plain, "direct", to);
  CHECK(same(get(plain, "direct"), to));
}

/*
 * One at a time on this machine: natively, and in the world, the ports are the same for all of them. Held until the
 * end.
 */
static void alone(void) {
  int lock = open("/tmp/imaginary-datagrams.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  CHECK(lock >= 0 && flock(lock, LOCK_EX) == 0);
}

int main(int argc, char **argv) {
  if (argc == 3 && !strcmp(argv[1], "serve")) return serve(atoi(argv[2]));
  alone();
  if (argc == 4) wait_for_host(argv[2], atoi(argv[3]));
  scopes(argv[1], 6500);
  if (geteuid() == 0 || argc == 4) scopes(argv[1], 650);
  many_at_once(argv[1]);
  sixes();
  both_worlds(argv[1]);
  CHECK(bound("192.0.2.1", 80) == -1 && errno == EADDRNOTAVAIL);
  CHECK(bound("100.64.9.9", 80) == -1 && errno == EADDRNOTAVAIL);
  say("ok");
  return 0;
}
