/*
 * io_uring connects, accepts and opens without libc: under the shim a kernel has no io_uring, and runtimes fall back to
 * what they do on older kernels. liburing makes its system calls inline, so its own functions decline: each returns a
 * negative errno.
 */
#include "hook.h"

#include <errno.h>

struct io_uring;
struct io_uring_params;

HOOK(int, io_uring_setup, (unsigned entries, struct io_uring_params *parameters)) {
  (void)entries, (void)parameters;
  return -ENOSYS;
}

HOOK(int, io_uring_queue_init, (unsigned entries, struct io_uring *ring, unsigned flags)) {
  (void)entries, (void)ring, (void)flags;
  return -ENOSYS;
}

HOOK(int, io_uring_queue_init_params, (unsigned entries, struct io_uring *ring, struct io_uring_params *parameters)) {
  (void)entries, (void)ring, (void)parameters;
  return -ENOSYS;
}

HOOK(int, io_uring_queue_init_mem,
     (unsigned entries, struct io_uring *ring, struct io_uring_params *parameters, void *memory, size_t size)) {
  (void)entries, (void)ring, (void)parameters, (void)memory, (void)size;
  return -ENOSYS;
}

HOOK(int, io_uring_queue_init_try_nosqarr,
     (unsigned entries, struct io_uring *ring, struct io_uring_params *parameters)) {
  (void)entries, (void)ring, (void)parameters;
  return -ENOSYS;
}
