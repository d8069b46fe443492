/*
 * no_threads HOST PORT: a program that forbids itself to start threads, as haproxy does, connects without blocking.
 * The limit binds neither root nor who may change resources: a program of root gives both up, but for the effective
 * user.
 */
#include "case.h"

#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static void *nothing(void *argument) { return argument; }

static void give_up_privileges(void) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct sets[2];
  CHECK(setresuid(65534, 0, 0) == 0);
  CHECK(syscall(SYS_capget, &header, sets) == 0);
  sets[0].effective = sets[0].permitted &= ~(1u << CAP_SYS_RESOURCE | 1u << CAP_SYS_ADMIN);
  CHECK(syscall(SYS_capset, &header, sets) == 0);
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  struct sockaddr_in to = resolve(argv[1], atoi(argv[2]));
  struct rlimit none = {0, 0};
  pthread_t thread;
  if (getuid() == 0) give_up_privileges();
  CHECK(setrlimit(RLIMIT_NPROC, &none) == 0);
  CHECK(pthread_create(&thread, 0, nothing, 0) == EAGAIN);
  int descriptors = open_descriptors();
  int fd = connecting(to);
  say("pending");
  ping(fd);
  close(fd);
  wait_until_quiet(descriptors, 2);
  /* What waits is still there when nothing was pending for a while. */
  fd = connecting(to);
  say("pending");
  ping(fd);
  close(fd);
  wait_until_quiet(descriptors, 2);
  say("ok");
  return 0;
}
