#include "hostname.h"

#include "core/shim.h"
#include "core/table.h"

#include <errno.h>
#include <string.h>

int hostname_get(char *name, size_t size) {
  if (!shim_active() || !*table_cluster()->hostname) return libc_gethostname(name, size);
  const char *own = table_cluster()->hostname;
  size_t length = strlen(own) + 1;
  memcpy(name, own, length < size ? length : size);
  if (length <= size) {
    name[length - 1] = 0;
    return 0;
  }
  return libc_fail(ENAMETOOLONG);
}

bool hostname_may_set(void) {
  if (!shim_active() || !*table_cluster()->hostname) return true;
  errno = EPERM;
  return false;
}

int hostname_uname(struct utsname *name) {
  int result = libc_uname(name);
  if (result == 0 && shim_active() && *table_cluster()->hostname) {
    memset(name->nodename, 0, sizeof name->nodename);
    strncpy(name->nodename, table_cluster()->hostname, sizeof name->nodename - 1);
  }
  return result;
}
