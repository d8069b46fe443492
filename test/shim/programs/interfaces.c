/* interfaces: lo, and one with the host's virtual address. Runs as host `web` of a /16. */
#include "case.h"
#include <ifaddrs.h>
#include <net/if.h>
#include <sys/ioctl.h>

static const char *text_of(const struct sockaddr *address, char text[INET_ADDRSTRLEN]) {
  return inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, text, INET_ADDRSTRLEN);
}

static void listed(char name[IFNAMSIZ]) {
  struct ifaddrs *list = 0;
  char a[INET_ADDRSTRLEN], m[INET_ADDRSTRLEN], b[INET_ADDRSTRLEN];
  int ours = 0, loopbacks = 0;
  CHECK(getifaddrs(&list) == 0 && list);
  for (struct ifaddrs *at = list; at; at = at->ifa_next) {
    CHECK(at->ifa_addr);
    if (at->ifa_addr->sa_family == AF_INET6) CHECK(at->ifa_flags & IFF_LOOPBACK, "%s", at->ifa_name);
    if (at->ifa_addr->sa_family != AF_INET) continue;
    text_of(at->ifa_addr, a);
    text_of(at->ifa_netmask, m);
    if (at->ifa_flags & IFF_LOOPBACK) {
      loopbacks += !strcmp(a, "127.0.0.1") && !strcmp(m, "255.0.0.0");
      continue;
    }
    text_of(at->ifa_broadaddr, b);
    CHECK(!strcmp(a, "100.64.1.1") && !strcmp(m, "255.255.0.0") && !strcmp(b, "100.64.255.255"), "%s %s %s", a, m, b);
    CHECK(at->ifa_flags & IFF_UP);
    strcpy(name, at->ifa_name);
    ours++;
  }
  CHECK(ours == 1 && loopbacks == 1, "%d %d", ours, loopbacks);
  freeifaddrs(list);
}

static void asked(const char *name) {
  struct ifreq rows[8], one;
  struct ifconf all = {.ifc_len = 0};
  char text[INET_ADDRSTRLEN];
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  CHECK(ioctl(fd, SIOCGIFCONF, &all) == 0 && all.ifc_len == 2 * sizeof *rows);
  all.ifc_len = sizeof rows;
  all.ifc_req = rows;
  CHECK(ioctl(fd, SIOCGIFCONF, &all) == 0 && all.ifc_len == 2 * sizeof *rows);
  CHECK(!strcmp(rows[0].ifr_name, "lo") && !strcmp(text_of(&rows[0].ifr_addr, text), "127.0.0.1"));
  CHECK(!strcmp(rows[1].ifr_name, name) && !strcmp(text_of(&rows[1].ifr_addr, text), "100.64.1.1"));
  all.ifc_len = sizeof *rows + 1;
  CHECK(ioctl(fd, SIOCGIFCONF, &all) == 0 && all.ifc_len == sizeof *rows);
  static const struct {
    unsigned long request;
    const char *answer;
  } cases[] = {{SIOCGIFADDR, "100.64.1.1"}, {SIOCGIFNETMASK, "255.255.0.0"}, {SIOCGIFBRDADDR, "100.64.255.255"}};
  for (int i = 0; i < 3; i++) {
    memset(&one, 0, sizeof one);
    strcpy(one.ifr_name, name);
    CHECK(ioctl(fd, cases[i].request, &one) == 0 && !strcmp(text_of(&one.ifr_addr, text), cases[i].answer), "%s", text);
  }
  CHECK(ioctl(fd, SIOCGIFFLAGS, &one) == 0 && one.ifr_flags & IFF_UP);
  strcpy(one.ifr_name, "lo");
  CHECK(ioctl(fd, SIOCGIFADDR, &one) == 0 && !strcmp(text_of(&one.ifr_addr, text), "127.0.0.1"));
  strcpy(one.ifr_name, "none0");
  CHECK(ioctl(fd, SIOCGIFADDR, &one) == -1 && errno == ENODEV);
  int pending = -1;
  CHECK(ioctl(fd, FIONREAD, &pending) == 0 && pending == 0);
  close(fd);
}

int main(void) {
  char name[IFNAMSIZ];
  for (int i = 0; i < 100; i++) listed(name);
  asked(name);
  return 0;
}
