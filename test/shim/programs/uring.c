/* io_uring is declined: by number, and at every closed port of liburing. */
#include "case.h"

#include <dlfcn.h>
#include <sys/syscall.h>

#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#endif

typedef int (*closed_port)(unsigned, void *, unsigned long, void *, size_t);

int main(void) {
  static const char *const doors[] = {"io_uring_setup", "io_uring_queue_init", "io_uring_queue_init_params",
                                      "io_uring_queue_init_mem", "io_uring_queue_init_try_nosqarr"};
  char space[4096] = {0};
  errno = 0;
  CHECK(syscall(SYS_io_uring_setup, 8, space) == -1 && errno == ENOSYS);
  for (size_t i = 0; i < sizeof doors / sizeof *doors; i++) {
    void *symbol = dlsym(RTLD_DEFAULT, doors[i]);
    closed_port open;
    CHECK(symbol, "%s", doors[i]);
    memcpy(&open, &symbol, sizeof open);
    errno = 77;
    CHECK(open(8, space, 0, space, sizeof space) == -ENOSYS && errno == 77, "%s", doors[i]);
  }
  /* The call next to it is passed on. */
  CHECK(syscall(SYS_getpid) == getpid());
  return 0;
}
