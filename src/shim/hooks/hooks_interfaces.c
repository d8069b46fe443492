#include "hook.h"
#include "core/shim.h"
#include "names/interfaces.h"
#include "core/libc_files.h"

#include <stdint.h>
#include <sys/ioctl.h>

HOOK(int, getifaddrs, (struct ifaddrs * *list)) {
  return shim_active() ? interfaces_list(list) : libc_getifaddrs(list);
}

/* Every list of an active process is ours: nothing else gives one out. */
HOOK(void, freeifaddrs, (struct ifaddrs * list)) {
  if (shim_active())
    interfaces_free(list);
  else
    libc_freeifaddrs(list);
}

/* `argument` is a variable argument in C, and in the calling conventions of both machines an ordinary one. */
HOOK(int, ioctl, (int fd, unsigned long request, void *argument)) {
  switch ((uint32_t)request) {
  case SIOCGIFCONF:
  case SIOCGIFADDR:
  case SIOCGIFNETMASK:
  case SIOCGIFBRDADDR:
  case SIOCGIFFLAGS:
  case SIOCSIFADDR:
  case SIOCSIFNETMASK:
  case SIOCSIFBRDADDR:
  case SIOCSIFDSTADDR:
  case SIOCSIFFLAGS: return shim_active() ? interfaces_ioctl(fd, request, argument) : libc_ioctl(fd, request, argument);
  default: return libc_ioctl(fd, request, argument);
  }
}
