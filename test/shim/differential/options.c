/* Every option by its number, so that none is forgotten: set before and after a connect, and at a listener. */
#include "passive.h"

#include <linux/filter.h>

static const struct {
  int level, last;
  const char *name;
} levels[] = {{SOL_SOCKET, 90, "SOL_SOCKET"},
              {IPPROTO_IP, 60, "IPPROTO_IP"},
              {IPPROTO_TCP, 50, "IPPROTO_TCP"},
              {IPPROTO_IPV6, 85, "IPPROTO_IPV6"}};

/* What tells of a path, a moment or a process; what ends a connection or makes none; what needs more than a number. */
static bool left_out(int level, int option, bool passive) {
  /* They are about a path of one hop: replace.c */
  if ((level == SOL_SOCKET && (option == SO_DONTROUTE || option == 62 /* SO_BINDTOIFINDEX */)) ||
      (level == IPPROTO_IP && (option == IP_MINTTL || option == IP_OPTIONS)) ||
      (level == IPPROTO_IPV6 && option == IPV6_MINHOPCOUNT))
    return true;
  switch (level) {
  case SOL_SOCKET:
    /* peer's name; CPU; queue's number; cookie; a descriptor of the peer's */
    return option == 28 || option == 49 || option == 55 || option == 56 || option == 57 || option == 77 ||
           option == SO_SNDBUFFORCE || option == SO_RCVBUFFORCE || option == 71 /* a kernel object */ ||
           (passive && option == 44 /* it stays */);
  case IPPROTO_TCP:
    /*
     * MAXSEG, INFO, QUICKACK, REPAIR and what belongs to it, CC_INFO, FASTOPEN_CONNECT, ZEROCOPY_RECEIVE, TIMESTAMP,
     * SAVED_SYN, FASTOPEN
     */
    return option == 2 || option == 11 || option == 12 || (option >= 19 && option <= 22) || option == 23 ||
           option == 24 || option == 26 || option == 28 || option == 29 || option == 30 || option == 33 ||
           option == 34 || option == 35 || (passive && option == TCP_DEFER_ACCEPT);
  case IPPROTO_IP:
    return option == IP_MTU || option == IP_PKTOPTIONS || option == IP_BIND_ADDRESS_NO_PORT ||
           option == 52 /* the port */;
  default:
    return option == IPV6_MTU || option == IPV6_ADDRFORM || option == IPV6_V6ONLY || option == 59 /* PKTOPTIONS */;
  }
}

static int number_for(int level, int option) { return level == IPPROTO_TCP && option == TCP_USER_TIMEOUT ? 30000 : 1; }

static void tell(const char *when, int fd, const char *level_name, int level, int option, int set) {
  unsigned char value[16] = {0};
  socklen_t size = sizeof value;
  int got = getsockopt(fd, level, option, value, &size) == 0 ? 0 : errno;
  if (got) size = 0;
  say("%s %s %d: %s, %s %u %x %x %x %x", when, level_name, option, error_name(set), error_name(got), size, value[0],
      value[1], value[2], value[3]);
}

static int sets(int fd, int level, int option) {
  int number = number_for(level, option);
  return setsockopt(fd, level, option, &number, sizeof number) == 0 ? 0 : errno;
}

static void options_of(int family, bool after) {
  for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
    for (int option = 1, level = levels[i].level; option <= levels[i].last; option++) {
      if (left_out(level, option, false)) continue;
      int fd = socket(family, SOCK_STREAM, 0), set = after ? 0 : sets(fd, level, option);
      NEED((family == AF_INET ? raw_connect(fd, SERVER) : raw_connect6(fd, mapped(peer_ip, port))) == 0);
      if (after) set = sets(fd, level, option);
      tell(after ? "after" : "before", fd, levels[i].name, level, option, set);
      close(fd);
    }
}

static void four_before(void) { options_of(AF_INET, false); }
static void four_after(void) { options_of(AF_INET, true); }
static void six_before(void) { options_of(AF_INET6, false); }
static void six_after(void) { options_of(AF_INET6, true); }

static void options_of_accepted(int fd) {
  for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
    for (int option = 1, level = levels[i].level; option <= levels[i].last; option++) {
      unsigned char before[16];
      socklen_t size = sizeof before;
      if (left_out(level, option, true) || getsockopt(fd, level, option, before, &size) != 0) continue;
      int set = sets(fd, level, option), control = ask_for_connections(port + 1, 1), got = accept(fd, 0, 0);
      NEED(got >= 0);
      tell("accepted", got, levels[i].name, level, option, set);
      tell("set", got, levels[i].name, level, option, sets(got, level, option));
      close(got);
      close(control);
      setsockopt(fd, level, option, before, size);
    }
}

static void four_accepts(void) { options_of_accepted(listens(at(ANY, port + 1), 4, 0)); }

static void six_accepts(void) {
  struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)(port + 1))};
  int fd = socket(AF_INET6, SOCK_STREAM, 0);
  NEED(raw_bind6(fd, any) == 0 && listen(fd, 4) == 0);
  options_of_accepted(fd);
}

/* The other side has sent and ended before anybody accepts: what was accepted is no IPv6 socket by that. */
static void family_of_what_has_ended(void) {
  int fd = listens(at(ANY, port + 1), 4, 0), control = ask_for_connections(port + 1, 1);
  close(control);
  sleep_ms(50);
  int got = accept(fd, 0, 0);
  say("IPv4: %d", get_option(got, SOL_SOCKET, SO_DOMAIN) == AF_INET);
}

static void owner_stays(void) {
  int fd = tcp(0);
  struct f_owner_ex owner = {F_OWNER_PID, getpid()}, now = {0};
  NEED(fcntl(fd, F_SETOWN_EX, &owner) == 0 && fcntl(fd, F_SETSIG, SIGUSR1) == 0);
  signal(SIGUSR1, SIG_IGN);
  NEED(fcntl(fd, F_SETFL, O_ASYNC) == 0);
  result("connect", raw_connect(fd, SERVER));
  NEED(fcntl(fd, F_GETOWN_EX, &now) == 0);
  say("owner %d %d signal %d async %d", now.type, now.pid == getpid(), fcntl(fd, F_GETSIG) == SIGUSR1,
      !!(fcntl(fd, F_GETFL) & O_ASYNC));
}

static void filter_stays(void) {
  struct sock_filter all[] = {{0x06, 0, 0, 0xffffffff}, {0x06, 0, 0, 0}}, got[8];
  struct sock_fprog program = {2, all};
  socklen_t size = 8;
  int fd = tcp(0);
  NEED(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0);
  NEED(raw_connect(fd, SERVER) == 0);
  result("filter", getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, got, &size));
  say("%u", size);
  ping(fd);
}

static const struct one cases[] = {
    {"IPv4, before", four_before},
    {"IPv4, after", four_after},
    {"IPv6, before", six_before},
    {"IPv6, after", six_after},
    {"IPv4, accepted", four_accepts},
    {"IPv6, accepted", six_accepts},
    {"family of what has ended", family_of_what_has_ended},
    {"owner and signal", owner_stays},
    {"filter", filter_stays},
};

MAIN(cases)
