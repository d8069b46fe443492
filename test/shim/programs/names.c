/* names: every way to look up a name or an address of the cluster. Runs as host `web`. */
#include "case.h"
#include <sys/utsname.h>

static struct addrinfo *lookup(const char *name, const char *service, struct addrinfo hints, int expected) {
  struct addrinfo *list = 0;
  int error = getaddrinfo(name, service, &hints, &list);
  CHECK(error == expected, "%s: %d %s", name, error, gai_strerror(error));
  return list;
}

static void forward(void) {
  char text[64];
  struct addrinfo tcp4 = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *list;
  const char *spellings[] = {"api", "API", "Api.Test", "api.", "node-2", "NODE-2"};
  for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
    list = lookup(spellings[i], "80", tcp4, 0);
    CHECK(!strcmp(show((struct sockaddr_in *)list->ai_addr, text), "100.64.1.2:80"), "%s", text);
    CHECK(!list->ai_next && list->ai_protocol == IPPROTO_TCP);
    CHECK(!list->ai_canonname || !strcmp(list->ai_canonname, "api")); /* musl gives it unasked */
    freeaddrinfo(list);
  }
  tcp4.ai_flags = AI_CANONNAME;
  for (int i = 0; i < 1000; i++) {
    list = lookup("node-2", "http", tcp4, 0);
    CHECK(list->ai_canonname && !strcmp(list->ai_canonname, "api"));
    CHECK(ntohs(((struct sockaddr_in *)list->ai_addr)->sin_port) == 80);
    freeaddrinfo(list);
  }
  tcp4.ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV;
  freeaddrinfo(lookup("api", "443", tcp4, 0));
  tcp4.ai_flags = AI_NUMERICHOST;
  lookup("api", 0, tcp4, EAI_NONAME);
  lookup("api", "no-such-service", (struct addrinfo){.ai_socktype = SOCK_STREAM}, EAI_SERVICE);
#ifdef __GLIBC__
  lookup("api", 0, (struct addrinfo){.ai_family = AF_INET6}, EAI_NONAME);
#else
  lookup("api", 0, (struct addrinfo){.ai_family = AF_INET6}, EAI_NODATA);
#endif
  list = lookup("api", "80",
                (struct addrinfo){.ai_family = AF_INET6, .ai_socktype = SOCK_STREAM, .ai_flags = AI_V4MAPPED}, 0);
  struct sockaddr_in6 *six = (struct sockaddr_in6 *)list->ai_addr;
  CHECK(six->sin6_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&six->sin6_addr) && six->sin6_addr.s6_addr[15] == 2);
  freeaddrinfo(list);
  list = 0;
  CHECK(getaddrinfo("api", 0, 0, &list) == 0);
  int kinds = 0;
  for (struct addrinfo *one = list; one; one = one->ai_next) kinds++;
  CHECK(kinds >= 2, "%d", kinds); /* stream and datagram at least, as for any other name */
  freeaddrinfo(list);
  list = lookup("localhost", "80", (struct addrinfo){.ai_family = AF_INET}, 0);
  freeaddrinfo(list);
  list = lookup("10.1.2.3", "80", (struct addrinfo){.ai_family = AF_INET}, 0);
  freeaddrinfo(list);
}

static void old_forward(void) {
  struct hostent *entry = gethostbyname("Node-3"), kept, *result;
  char text[64], buffer[512];
  int error = 0;
  CHECK(entry && !strcmp(entry->h_name, "db") && !entry->h_aliases[0] && entry->h_length == 4 &&
        !entry->h_addr_list[1]);
  CHECK(!strcmp(inet_ntop(AF_INET, entry->h_addr_list[0], text, sizeof text), "100.64.1.3"));
  CHECK(gethostbyname2("db", AF_INET));
  CHECK(!gethostbyname2("db", AF_INET6) && h_errno == NO_DATA);
  CHECK(gethostbyname_r("db", &kept, buffer, sizeof buffer, &result, &error) == 0 && result == &kept);
  CHECK(!strcmp(kept.h_name, "db"));
  CHECK(gethostbyname_r("db", &kept, buffer, 10, &result, &error) == ERANGE && !result);
  CHECK(gethostbyname2_r("db", AF_INET, &kept, buffer, sizeof buffer, &result, &error) == 0 && result == &kept);
  gethostbyname2_r("db", AF_INET6, &kept, buffer, sizeof buffer, &result, &error);
  CHECK(!result && error == NO_DATA);
  for (size_t shift = 0; shift < 9; shift++)
    CHECK(gethostbyname_r("db", &kept, buffer + shift, 200, &result, &error) == 0 && kept.h_addr_list[0]);
}

static void backward(void) {
  struct in_addr address = {inet_addr("100.64.1.2")};
  struct sockaddr_in name = at("100.64.1.2", 80);
  struct hostent *entry = gethostbyaddr(&address, sizeof address, AF_INET), kept, *result;
  char host[256], service[32], buffer[512];
  int error = 0;
  CHECK(entry && !strcmp(entry->h_name, "api"));
  CHECK(gethostbyaddr_r(&address, sizeof address, AF_INET, &kept, buffer, sizeof buffer, &result, &error) == 0 &&
        result);
  CHECK(!strcmp(kept.h_name, "api"));
  CHECK(getnameinfo((struct sockaddr *)&name, sizeof name, host, sizeof host, service, sizeof service, 0) == 0);
  CHECK(!strcmp(host, "api") && !strcmp(service, "http"), "%s %s", host, service);
  CHECK(getnameinfo((struct sockaddr *)&name, sizeof name, host, sizeof host, 0, 0, NI_NUMERICHOST) == 0);
  CHECK(!strcmp(host, "100.64.1.2"));
  struct sockaddr_in6 six = {.sin6_family = AF_INET6};
  CHECK(inet_pton(AF_INET6, "::ffff:100.64.1.2", &six.sin6_addr) == 1);
  CHECK(getnameinfo((struct sockaddr *)&six, sizeof six, host, sizeof host, 0, 0, 0) == 0 && !strcmp(host, "api"));
  CHECK(getnameinfo((struct sockaddr *)&name, sizeof name, host, 3, 0, 0, 0) == EAI_OVERFLOW);
  CHECK(getnameinfo((struct sockaddr *)&name, sizeof name, host, sizeof host, 0, 0, NI_NAMEREQD) == 0);
}

static void own(void) {
  char name[256];
  struct utsname system;
  CHECK(gethostname(name, sizeof name) == 0 && !strcmp(name, "web"));
  CHECK(gethostname(name, 3) == -1 && errno == ENAMETOOLONG);
  CHECK(uname(&system) == 0 && !strcmp(system.nodename, "web") && !strcmp(system.sysname, "Linux"));
}

int main(void) {
  forward();
  old_forward();
  backward();
  own();
  say("ok");
  return 0;
}
