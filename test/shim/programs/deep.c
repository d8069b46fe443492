/*
 * deep HOST PORT PLUGIN: loads PLUGIN with RTLD_DEEPBIND in both ways, and has it connect to an echo server; then libc,
 * and does so itself. PLUGIN's name has no folder: it is found where the program's RUNPATH says. Compiled with PLUGIN
 * defined, this file is the plugin.
 */
#include "case.h"

#include <dlfcn.h>

#ifdef PLUGIN

__attribute__((visibility("default"))) void plug(const char *host, int port) {
  int fd = tcp(0);
  CHECK(connect_to(fd, resolve(host, port)) == 0);
  ping(fd);
  close(fd);
}

#else

static void use(void *plugin, const char *host, int port) {
  CHECK(plugin, "%s", dlerror());
  union {
    void *pointer;
    void (*call)(const char *, int);
  } plug = {dlsym(plugin, "plug")};
  CHECK(plug.pointer);
  plug.call(host, port);
  CHECK(dlclose(plugin) == 0);
}

/* As ctypes and the like call libc. */
static void use_libc(void *libc, const char *host, int port) {
  CHECK(libc, "%s", dlerror());
  union {
    void *pointer;
    int (*connect)(int, const struct sockaddr *, socklen_t);
    struct hostent *(*lookup)(const char *);
    long (*abs)(long);
  } connect = {dlsym(libc, "connect")}, lookup = {dlsym(libc, "gethostbyname")}, plain = {dlsym(libc, "labs")};
  CHECK(connect.pointer && lookup.pointer && plain.pointer && plain.abs(-3) == 3);
  struct hostent *found = lookup.lookup(host);
  CHECK(found);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  memcpy(&to.sin_addr, found->h_addr_list[0], sizeof to.sin_addr);
  int fd = tcp(0);
  CHECK(connect.connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
  ping(fd);
  close(fd);
  CHECK(dlclose(libc) == 0);
}

int main(int count, char **words) {
  CHECK(count == 4);
  int port = atoi(words[2]), flags = RTLD_NOW | RTLD_DEEPBIND;
  use(dlopen(words[3], RTLD_NOW), words[1], port);
  use(dlopen(words[3], flags), words[1], port);
  use(dlmopen(LM_ID_BASE, words[3], flags), words[1], port);
  CHECK(!dlopen("is-not-there.so", flags) && strstr(dlerror(), "is-not-there.so"));
  use_libc(dlopen("libc.so.6", RTLD_NOW), words[1], port);
  use_libc(dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD), words[1], port);
  use_libc(dlmopen(LM_ID_BASE, "libc.so.6", flags), words[1], port);
  CHECK(!dlopen("/not/there/libc.so.5", RTLD_NOW));
  void *whole = dlopen(0, flags);
  CHECK(whole && dlclose(whole) == 0);
  return 0;
}

#endif
