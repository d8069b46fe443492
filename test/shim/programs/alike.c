/*
 * alike SECTION: says what calls return, for comparison with what they return natively. Sections: families, loopback,
 * answers, raw, raw-with-port, pointers.
 */
#include "case.h"
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static void told(const char *what, long result) {
  int error = errno;
  printf("%s: %s\n", what, result < 0 ? strerror(error) : "ok");
  fflush(stdout);
}

/* Every length of an address of every family, for every kind of socket. */
static void families(void) {
  static const int kinds[] = {SOCK_STREAM, SOCK_DGRAM}, sockets[] = {AF_INET, AF_INET6},
                   names[] = {AF_UNSPEC, AF_UNIX, AF_INET, AF_INET6, AF_PACKET, 99};
  static const socklen_t sizes[] = {0, 1, 2, 4, 15, 16, 17, 23, 24, 27, 28, 29, 64, 128, 129, 4096, (socklen_t)-1};
  for (int one = 0; one < 2 * 2 * 6; one++)
    for (unsigned size = 0; size < sizeof sizes / sizeof *sizes; size++)
      for (int call = 0; call < 3; call++) {
        char name[4096] = {0}, text[80];
        int kind = kinds[one & 1], family = names[one >> 2];
        int fd = socket(sockets[one >> 1 & 1], kind | SOCK_NONBLOCK, 0);
        memcpy(name, &(sa_family_t){(sa_family_t)family}, sizeof(sa_family_t));
        if (call) memcpy(name + 2, &(uint16_t){htons(9)}, 2);
        if (call && family == AF_INET) memcpy(name + 4, &(uint32_t){htonl(0x7f000001)}, 4);
        if (call && family == AF_INET6) name[23] = 1;
        /* Whether somebody listens there is no matter of the address. */
        errno = 0;
        long result = call == 0   ? bind(fd, (struct sockaddr *)name, sizes[size])
                      : call == 1 ? connect(fd, (struct sockaddr *)name, sizes[size])
                                  : sendto(fd, "x", 1, MSG_NOSIGNAL, (struct sockaddr *)name, sizes[size]);
        if (result < 0 && (errno == EINPROGRESS || errno == ECONNREFUSED)) result = 0;
        snprintf(text, sizeof text, "%s %s socket of family %d, name of %d, %d bytes",
                 (const char *[]){"bind", "connect", "sendto"}[call], kind == SOCK_STREAM ? "stream" : "datagram",
                 sockets[one >> 1 & 1], family, (int)sizes[size]);
        told(text, result);
        close(fd);
      }
}

/* A listener and a port at the wildcard are reached through all of the loopback network. */
static void loopback(void) {
  static const char *const ips[] = {"127.0.0.1", "127.0.0.2", "127.0.0.10",
                                    "127.0.1.1", "127.5.5.5", "127.255.255.254"};
  for (unsigned i = 0; i < sizeof ips / sizeof *ips; i++)
    for (int mapped = 0; mapped < 2; mapped++) {
      struct sockaddr_in6 to = {.sin6_family = AF_INET6}, any = {.sin6_family = AF_INET6};
      char text[64];
      int listener = mapped ? socket(AF_INET6, SOCK_STREAM, 0) : tcp(0);
      struct sockaddr_in four = at("0.0.0.0", 0);
      struct sockaddr *wild = mapped ? (struct sockaddr *)&any : (struct sockaddr *)&four;
      socklen_t size = mapped ? sizeof any : sizeof four, length = size;
      CHECK(bind(listener, wild, size) == 0 && listen(listener, 4) == 0);
      CHECK(getsockname(listener, wild, &length) == 0);
      struct sockaddr_in target = at(ips[i], ntohs(mapped ? any.sin6_port : four.sin_port));
      int client = mapped ? socket(AF_INET6, SOCK_STREAM, 0) : tcp(0);
      if (mapped) {
        to.sin6_port = target.sin_port;
        to.sin6_addr.s6_addr[10] = to.sin6_addr.s6_addr[11] = 0xff;
        memcpy(&to.sin6_addr.s6_addr[12], &target.sin_addr, 4);
      }
      printf("%s%s\n", mapped ? "mapped " : "", ips[i]);
      told("connect", connect(client, mapped ? (struct sockaddr *)&to : (struct sockaddr *)&target, size));
      if (!mapped) {
        struct sockaddr_in from = {0}, peer = name_of(client, getpeername);
        printf("peer %s\n",
               same(peer, target) ? show(&(struct sockaddr_in){.sin_addr = peer.sin_addr}, text) : "another");
        length = sizeof from;
        int got = accept(listener, (struct sockaddr *)&from, &length);
        printf("from %s\n", show(&(struct sockaddr_in){.sin_addr = from.sin_addr}, text));
        close(got);
      }
      close(client);
      close(listener);
    }
  for (unsigned i = 0; i < sizeof ips / sizeof *ips; i++) {
    struct sockaddr_in from = {0};
    socklen_t size = sizeof from;
    char data[8], text[64];
    int server = socket(AF_INET, SOCK_DGRAM, 0), client = socket(AF_INET, SOCK_DGRAM, 0);
    int port = 20000 + (getpid() + (int)i * 7) % 10000;
    while (bind_to(server, at("0.0.0.0", port)) != 0) port++;
    struct sockaddr_in to = at(ips[i], port);
    told("sendto", sendto(client, "x", 1, 0, (struct sockaddr *)&to, sizeof to));
    wait_for(server, POLLIN);
    CHECK(recvfrom(server, data, sizeof data, 0, (struct sockaddr *)&from, &size) == 1);
    printf("%s: from %s\n", ips[i], show(&(struct sockaddr_in){.sin_addr = from.sin_addr}, text));
    CHECK(sendto(server, "y", 1, 0, (struct sockaddr *)&from, size) == 1);
    wait_for(client, POLLIN);
    CHECK(recvfrom(client, data, sizeof data, 0, (struct sockaddr *)&from, &size) == 1);
    close(server);
    close(client);
  }
}

/* A server whose port the kernel chose, and its clients: connected or not. */
static void answers(void) {
  static const char *const bound[] = {"0.0.0.0", "127.0.0.1"};
  for (int at_loop = 0; at_loop < 2; at_loop++)
    for (int connected = 0; connected < 2; connected++) {
      struct sockaddr_in from;
      socklen_t size = sizeof from;
      char data[8], text[64];
      int server = socket(AF_INET, SOCK_DGRAM, 0), client = socket(AF_INET, SOCK_DGRAM, 0);
      CHECK(bind_to(server, at(bound[at_loop], 0)) == 0);
      struct sockaddr_in to = at("127.0.0.1", ntohs(name_of(server, getsockname).sin_port));
      if (connected) CHECK(connect_to(client, to) == 0);
      CHECK(sendto(client, "ask", 3, 0, connected ? 0 : (struct sockaddr *)&to, connected ? 0 : sizeof to) == 3);
      wait_for(server, POLLIN);
      CHECK(recvfrom(server, data, sizeof data, 0, (struct sockaddr *)&from, &size) == 3);
      CHECK(sendto(server, "answer", 6, 0, (struct sockaddr *)&from, size) == 6);
      wait_for(client, POLLIN);
      CHECK(recvfrom(client, data, sizeof data, 0, (struct sockaddr *)&from, &size) == 6 && same(from, to));
      printf("%s %d: from %s\n", bound[at_loop], connected,
             show(&(struct sockaddr_in){.sin_addr = from.sin_addr}, text));
    }
}

/*
 * Needs CAP_NET_RAW; what the machine refuses natively is refused here too. `port`: raw sockets make nothing of it, and
 * a program may name one all the same.
 */
static void raw_to(int port) {
  struct sockaddr_in to = at("127.0.0.1", port), from = {0};
  unsigned char packet[100], request[8] = {8, 0, 0xf7, 0xff};
  char text[64];
  socklen_t size = sizeof from;
  int fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
  told("socket", fd);
  if (fd >= 0) {
    told("sendto", sendto(fd, request, sizeof request, 0, (struct sockaddr *)&to, sizeof to));
    wait_for(fd, POLLIN);
    CHECK(recvfrom(fd, packet, sizeof packet, 0, (struct sockaddr *)&from, &size) == 28);
    printf("from %s to %d.%d.%d.%d\n", show(&from, text), packet[16], packet[17], packet[18], packet[19]);
  }
  int udp = socket(AF_INET, SOCK_RAW, IPPROTO_UDP), mine = getpid();
  unsigned char header[12] = {0, 1, 0, 9, 0, 12};
  memcpy(header + 8, &mine, sizeof mine);
  told("socket", udp);
  if (udp >= 0) {
    told("sendto", sendto(udp, header, sizeof header, 0, (struct sockaddr *)&to, sizeof to));
    /* It is given all datagrams of the machine. */
    do {
      memset(packet, 0, sizeof packet);
      wait_for(udp, POLLIN);
      size = sizeof from;
      CHECK(recvfrom(udp, packet, sizeof packet, 0, (struct sockaddr *)&from, &size) > 0);
    } while (memcmp(packet + 20, header, sizeof header));
    printf("from %s to %d.%d.%d.%d\n", show(&from, text), packet[16], packet[17], packet[18], packet[19]);
  }
  /* IPv6 takes a port for a protocol, and allows its own alone. */
  struct sockaddr_in6 six = {
      .sin6_family = AF_INET6, .sin6_port = htons(port ? IPPROTO_ICMPV6 : 0), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  int fd6 = socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
  told("socket", fd6);
  if (fd6 >= 0) told("sendto", sendto(fd6, "\x80\0\0\0\0\0\0\0", 8, 0, (struct sockaddr *)&six, sizeof six));
  if (fd >= 0) close(fd);
  if (udp >= 0) close(udp);
  if (fd6 >= 0) close(fd6);
}

static void raw(void) { raw_to(0); }
static void raw_with_port(void) { raw_to(7000); }

/* ---- pointers ---- */

static char *bad;
static struct sockaddr_in here;
static socklen_t length = sizeof here;
static int stream, datagram, listener;

/* A socket that a datagram waits at, and a listener that a connection waits at. */
static int receiver(void) {
  CHECK(bind_to(datagram, at("127.0.0.1", 0)) == 0);
  struct sockaddr_in self = name_of(datagram, getsockname);
  CHECK(sendto(datagram, "x", 1, 0, (struct sockaddr *)&self, sizeof self) == 1);
  wait_for(datagram, POLLIN);
  return datagram;
}

static int caller(void) {
  CHECK(connect_to(stream, name_of(listener, getsockname)) == 0);
  wait_for(listener, POLLIN);
  return listener;
}

/* clang-format off */
#define CALLS \
  X(connect(stream, (void *)bad, 16)) X(bind(stream, (void *)bad, 16)) X(sendto(datagram, "x", 1, 0, (void *)bad, 16)) \
  X(connect(datagram, (void *)bad, 16)) X(bind(datagram, (void *)bad, 28)) \
  X(sendto(datagram, bad, 50, 0, (void *)&here, 16)) X(getsockname(stream, (void *)bad, &length)) \
  X(getsockname(stream, (void *)&here, (void *)bad)) X(getpeername(stream, (void *)bad, &length)) \
  X(getsockname(datagram, (void *)bad, (void *)bad)) X(accept(listener, (void *)&here, (void *)bad)) \
  X(accept(listener, (void *)bad, &length)) X(accept4(listener, (void *)bad, (void *)bad, 0)) \
  X(sendmsg(datagram, &(struct msghdr){.msg_name = bad, .msg_namelen = 16}, 0)) \
  X(open(bad, O_RDONLY)) X(openat(AT_FDCWD, bad, O_RDONLY)) X(creat(bad, 0)) X(access(bad, 0)) \
  X(faccessat(AT_FDCWD, bad, 0, 0)) X(stat(bad, &status)) X(lstat(bad, &status)) \
  X(fstatat(AT_FDCWD, bad, &status, 0)) X(readlink(bad, text, 9)) X(readlinkat(AT_FDCWD, bad, text, 9)) \
  X(mkdir(bad, 0)) X(mkdirat(AT_FDCWD, bad, 0)) X(chdir(bad)) X(unlink(bad)) X(unlinkat(AT_FDCWD, bad, 0)) \
  X(rmdir(bad)) X(rename(bad, "/nowhere/x")) X(rename("/nowhere/x", bad)) X(link("/nowhere/x", bad)) \
  X(symlink("x", bad)) X(chmod(bad, 0)) X(chown(bad, 0, 0)) X(truncate(bad, 0)) \
  X(execve(bad, (char *[]){"x", 0}, (char *[]){0})) X(execve("/bin/true", (char *[]){"x", 0}, (char *[]){bad, 0})) \
  X(execve("/bin/true", (char *[]){"x", 0}, bad ? (char **)bad : (char **)8)) X(syscall(SYS_connect, stream, bad, 16)) \
  X(syscall(SYS_newfstatat, AT_FDCWD, bad, &status, 0)) X(sendmsg(datagram, (void *)bad, 0)) \
  X(sendmsg(datagram, &(struct msghdr){.msg_name = &here, .msg_namelen = 16, .msg_control = bad, .msg_controllen = 64}, 0)) \
  X(sendmsg(datagram, &(struct msghdr){.msg_name = &here, .msg_namelen = 16, .msg_iov = (void *)bad, .msg_iovlen = 1}, 0)) \
  X(sendmmsg(datagram, (void *)bad, 1, 0)) \
  X(sendmmsg(datagram, &(struct mmsghdr){.msg_hdr = {.msg_name = bad, .msg_namelen = 16}}, 1, 0)) \
  X(recvmsg(datagram, (void *)bad, MSG_DONTWAIT)) X(recvmmsg(datagram, (void *)bad, 1, MSG_DONTWAIT, 0)) \
  X(recvfrom(receiver(), text, 9, 0, (void *)bad, &length)) X(recvfrom(receiver(), text, 9, 0, (void *)&here, (void *)bad)) \
  X(recvfrom(receiver(), bad, 9, 0, (void *)&here, &length)) \
  X(recvmsg(receiver(), &(struct msghdr){.msg_name = bad, .msg_namelen = 16}, 0)) \
  X(accept(caller(), (void *)bad, &length)) X(accept(caller(), (void *)&here, (void *)bad)) \
  X(accept4(caller(), (void *)&here, (void *)bad, 0)) \
  X(ioctl(stream, SIOCGIFCONF, bad)) X(ioctl(stream, SIOCGIFADDR, bad)) X(ioctl(stream, SIOCGIFFLAGS, bad)) \
  X(ioctl(stream, SIOCGIFCONF, &(struct ifconf){.ifc_len = 400, .ifc_buf = bad ? bad : (char *)8}))
/* clang-format on */

static void one_call(int number) {
  struct stat status;
  char text[16];
  int at = 0;
  (void)text;
#define X(call) \
  if (at++ == number) { \
    long result = call; \
    told("result", result < 0 ? -1 : 0); \
  }
  CALLS
#undef X
}

static void pointers(void) {
#define X(call) #call,
  static const char *const names[] = {CALLS};
#undef X
  long page = sysconf(_SC_PAGESIZE);
  char *map = mmap(0, (size_t)page * 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(map != MAP_FAILED && mprotect(map + page, (size_t)page, PROT_NONE) == 0);
  memset(map, 'a', (size_t)page);
  char *gone = mmap(0, (size_t)page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(gone != MAP_FAILED);
  /* It has been there, and was used. */
  CHECK(access(gone, 0) == -1 && munmap(gone, (size_t)page) == 0);
  char *const bads[] = {0, (char *)8, map + page, map + page - 1, map + page - 3, gone, (char *)(1ul << 62)};
  listener = tcp(SOCK_NONBLOCK);
  CHECK(bind_to(listener, at("127.0.0.1", 0)) == 0 && listen(listener, 4) == 0);
  here = at("127.0.0.1", 9);
  for (unsigned call = 0; call < sizeof names / sizeof *names; call++)
    for (unsigned one = 0; one < sizeof bads / sizeof *bads; one++) {
      int status;
      printf("%u %s: ", one, names[call]);
      fflush(stdout);
      pid_t child = fork();
      if (child == 0) {
        bad = bads[one];
        stream = tcp(0);
        datagram = socket(AF_INET, SOCK_DGRAM, 0);
        one_call((int)call);
        _exit(0);
      }
      CHECK(waitpid(child, &status, 0) == child);
      if (WIFSIGNALED(status)) printf("signal %d\n", WTERMSIG(status));
    }
}

int main(int argc, char **argv) {
  static const struct {
    const char *name;
    void (*run)(void);
  } sections[] = {{"families", families}, {"loopback", loopback},           {"answers", answers},
                  {"raw", raw},           {"raw-with-port", raw_with_port}, {"pointers", pointers}};
  for (unsigned i = 0; argc == 2 && i < sizeof sections / sizeof *sections; i++)
    if (!strcmp(argv[1], sections[i].name)) sections[i].run();
  say("end");
  return 0;
}
