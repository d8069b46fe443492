#include "libc.h"
#include "libc_files.h"
#include "libc_waits.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>

/* Where a plugin may have brought a function that neither the program nor the shim has: of older glibc, or libaio. */
static const char *const brought[] = {"librt.so.1", "libanl.so.1", "libaio.so.1", "libaio.so.1t64"};

/* The real function, or NULL. */
static void *find(const char *name) {
  void *found = dlsym(RTLD_NEXT, name);
  for (size_t i = 0; !found && i < sizeof brought / sizeof *brought; i++) {
    void *library = dlopen(brought[i], RTLD_LAZY | RTLD_NOLOAD);
    if (library) found = dlsym(library, name);
    if (library) dlclose(library);
  }
  return found;
}

/* dlsym gives a data pointer; POSIX promises that the round trip through a union works. */
#define IM_DEFINE(type, name, parameters, arguments, missing) \
  static _Atomic(void *) at_##name; \
  type libc_##name parameters { \
    union { \
      void *pointer; \
      type(*call) parameters; \
    } found = {atomic_load_explicit(&at_##name, memory_order_relaxed)}; \
    if (__builtin_expect(!found.pointer, 0)) { \
      found.pointer = find(#name); \
      if (!found.pointer) { \
        errno = ENOSYS; \
        return missing; \
      } \
      atomic_store_explicit(&at_##name, found.pointer, memory_order_relaxed); \
    } \
    return found.call arguments; \
  }
IM_LIBC_FUNCTIONS(IM_DEFINE)
IM_LIBC_FILE_FUNCTIONS(IM_DEFINE)
IM_LIBC_WAIT_FUNCTIONS(IM_DEFINE)

/* The function that returns nothing. */
void libc_freeifaddrs(struct ifaddrs *list) {
  union {
    void *pointer;
    void (*call)(struct ifaddrs *);
  } found = {dlsym(RTLD_NEXT, "freeifaddrs")};
  if (found.pointer) found.call(list);
}

#define IM_RESOLVE(type, name, parameters, arguments, missing) \
  atomic_store_explicit(&at_##name, dlsym(RTLD_NEXT, #name), memory_order_relaxed);
void libc_resolve(void) {
  IM_LIBC_FUNCTIONS(IM_RESOLVE)
  IM_LIBC_FILE_FUNCTIONS(IM_RESOLVE)
  IM_LIBC_WAIT_FUNCTIONS(IM_RESOLVE)
}
