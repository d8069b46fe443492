/*
 * deep HOST PORT PLUGIN: loads PLUGIN with RTLD_DEEPBIND in both ways, and has it connect to an echo server. Its name has no folder: it
 * is found where the program's RUNPATH says. Compiled with PLUGIN defined, this file is the plugin.
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

int main(int count, char **words) {
  CHECK(count == 4);
  int port = atoi(words[2]), flags = RTLD_NOW | RTLD_DEEPBIND;
  use(dlopen(words[3], RTLD_NOW), words[1], port);
  use(dlopen(words[3], flags), words[1], port);
  use(dlmopen(LM_ID_BASE, words[3], flags), words[1], port);
  CHECK(!dlopen("is-not-there.so", flags) && strstr(dlerror(), "is-not-there.so"));
  void *whole = dlopen(0, flags);
  CHECK(whole && dlclose(whole) == 0);
  return 0;
}

#endif
