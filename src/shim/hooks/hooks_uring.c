/*
 * io_uring connects, accepts and opens behind everybody's back: under the shim a kernel has none, and runtimes fall
 * back to what they do on older ones. liburing makes its system calls inline, so it is told at its own doors; each says
 * an errno, negative.
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
