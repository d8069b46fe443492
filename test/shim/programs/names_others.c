/* names_others: names below those of the cluster, clients, and addresses that are nobody's. Runs as host `web`. */
#include "case.h"
#include <strings.h>

static int code_of(const char *name, int family, int flags) {
  struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM, .ai_flags = flags}, *list = 0;
  int error = getaddrinfo(name, "80", &hints, &list);
  if (error == 0) freeaddrinfo(list);
  return error;
}

/* None of them exists, in any family, and nobody outside is asked: that would take its time, or say EAI_AGAIN. */
static void below(void) {
  const char *names[] = {"foo.api", "FOO.Api", "foo.api.", "_x._tcp.api", "a.b.c.api.test", "x.node-2", "x.client-9"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const int families[] = {AF_UNSPEC, AF_INET, AF_INET6};
    for (size_t f = 0; f < 3; f++) {
      int error = code_of(names[i], families[f], 0);
      CHECK(error == EAI_NONAME, "%s: %d", names[i], error);
      CHECK(code_of(names[i], families[f], AI_V4MAPPED | AI_CANONNAME) == EAI_NONAME);
    }
    struct hostent kept, *result = &kept;
    char buffer[512];
    int why = 0;
    h_errno = 0;
    CHECK(!gethostbyname(names[i]) && h_errno == HOST_NOT_FOUND, "%s: %d", names[i], h_errno);
    CHECK(!gethostbyname2(names[i], AF_INET6) && h_errno == HOST_NOT_FOUND);
    int failure = gethostbyname_r(names[i], &kept, buffer, sizeof buffer, &result, &why);
    CHECK(failure == 0 && !result && why == HOST_NOT_FOUND, "%s: %d %d", names[i], failure, why);
  }
  /* What is wrong besides is said first; numbers are no names. */
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
  CHECK(getaddrinfo("foo.api", "no-such-service", &hints, &list) == EAI_SERVICE);
  CHECK(code_of("10.1.2.3", AF_INET, 0) == 0);
  CHECK(code_of("localhost", AF_INET, 0) == 0);
}

static void clients(void) {
  const char *texts[][2] = {
      {"100.64.255.0", "client-0"}, {"100.64.255.9", "client-9"}, {"100.64.255.254", "client-254"}};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    char host[256], text[64];
    struct sockaddr_in name = at(texts[i][0], 80);
    CHECK(getnameinfo((struct sockaddr *)&name, sizeof name, host, sizeof host, 0, 0, NI_NAMEREQD) == 0);
    CHECK(!strcmp(host, texts[i][1]), "%s", host);
    struct hostent *entry = gethostbyaddr(&name.sin_addr, sizeof name.sin_addr, AF_INET);
    CHECK(entry && !strcmp(entry->h_name, texts[i][1]));
    /* Servers ask for the name's address in turn. */
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM, .ai_flags = AI_CANONNAME}, *list;
    CHECK(getaddrinfo(texts[i][1], "80", &hints, &list) == 0);
    sprintf(text, "%s:80", texts[i][0]);
    char shown[64];
    CHECK(!strcmp(show((struct sockaddr_in *)list->ai_addr, shown), text), "%s", shown);
    CHECK(list->ai_canonname);
    freeaddrinfo(list);
    CHECK((entry = gethostbyname(texts[i][1])) && !strcmp(entry->h_name, texts[i][1]));
    CHECK(code_of(texts[i][1], AF_INET6, 0) != 0);
  }
}

static void nobodys(void) {
  const char *addresses[] = {"100.64.200.1", "100.64.255.255", "::ffff:100.64.200.1"};
  for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
    struct sockaddr_in name = at(addresses[i], 80);
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(80)};
    bool is_six = inet_pton(AF_INET6, addresses[i], &six.sin6_addr) == 1;
    const struct sockaddr *any = is_six ? (struct sockaddr *)&six : (struct sockaddr *)&name;
    socklen_t size = is_six ? sizeof six : sizeof name;
    char host[256], service[32];
    CHECK(getnameinfo(any, size, host, sizeof host, 0, 0, NI_NAMEREQD) == EAI_NONAME);
    CHECK(getnameinfo(any, size, host, sizeof host, service, sizeof service, 0) == 0);
    CHECK(!strcmp(host, addresses[i]) && !strcmp(service, "http"), "%s %s", host, service);
    const void *bytes = is_six ? (void *)&six.sin6_addr : (void *)&name.sin_addr;
    h_errno = 0;
    CHECK(!gethostbyaddr(bytes, is_six ? 16 : 4, is_six ? AF_INET6 : AF_INET) && h_errno == HOST_NOT_FOUND);
  }
}

int main(void) {
  below();
  clients();
  nobodys();
  say("ok");
  return 0;
}
