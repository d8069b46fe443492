#include "hook.h"
#include "names/hostname.h"

HOOK(int, gethostname, (char *name, size_t size)) { return hostname_get(name, size); }

/* gethostname becomes this in programs built with _FORTIFY_SOURCE. The compiler knew `real`, which is the bound. */
HOOK(int, __gethostname_chk, (char *name, size_t size, size_t real)) {
  if (size > real) __builtin_trap();
  return hostname_get(name, size);
}

HOOK(int, uname, (struct utsname * name)) { return hostname_uname(name); }

HOOK(int, sethostname, (const char *name, size_t size)) {
  return hostname_may_set() ? libc_sethostname(name, size) : -1;
}

HOOK(int, setdomainname, (const char *name, size_t size)) {
  return hostname_may_set() ? libc_setdomainname(name, size) : -1;
}
