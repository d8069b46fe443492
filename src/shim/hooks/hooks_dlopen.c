/*
 * dlopen and dlmopen without RTLD_DEEPBIND, by which a plugin would find libc in front of the shim; and with the shim
 * in place of libc: a look-up there (ctypes, Fiddle, JNA) finds the shim, or else libc, which the shim needs. glibc
 * searches the caller's RUNPATH, and knows the caller by the return address, so that the real function is jumped to and
 * not called. musl has no such flag.
 */
#include "hook.h"
#include "core/shim.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#ifdef __GLIBC__
#include <gnu/lib-names.h>

/* Fits two registers: how it comes back is what the code below relies on. */
struct target {
  void *function;
  unsigned long flags; /* that are left */
};

static void *none(void) { return 0; }

static struct target target(_Atomic(void *) *found, const char *name, bool strips) {
  void *function = atomic_load_explicit(found, memory_order_relaxed);
  if (!function) {
    function = dlsym(RTLD_NEXT, name);
    if (!function) function = (void *)(uintptr_t)&none;
    atomic_store_explicit(found, function, memory_order_relaxed);
  }
  return (struct target){function, strips && shim_active() ? ~(unsigned long)RTLD_DEEPBIND : ~0ul};
}

static void replace_libc(const char **file) {
  Dl_info self;
  if (!*file || !shim_active()) return;
  const char *folder = strrchr(*file, '/');
  if (strcmp(folder ? folder + 1 : *file, LIBC_SO) == 0 && dladdr((void *)(uintptr_t)&replace_libc, &self))
    *file = self.dli_fname;
}

/* `file`: the caller's argument, where the code below has put it. */
__attribute__((used, visibility("hidden"))) struct target hooks_dlopen(const char **file) {
  static _Atomic(void *) found;
  replace_libc(file);
  return target(&found, "dlopen", true);
}

/* Another namespace has another libc, and no shim. */
__attribute__((used, visibility("hidden"))) struct target hooks_dlmopen(Lmid_t space, const char **file) {
  static _Atomic(void *) found;
  if (space == LM_ID_BASE) replace_libc(file);
  return target(&found, "dlmopen", space == LM_ID_BASE);
}

#if defined(__x86_64__)
__asm__(".text\n"
        ".globl dlopen\n"
        ".type dlopen, @function\n"
        "dlopen:\n"
        "  push %rdi\n"
        "  push %rsi\n"
        "  sub $8, %rsp\n"
        "  lea 16(%rsp), %rdi\n"
        "  call hooks_dlopen\n"
        "  add $8, %rsp\n"
        "  pop %rsi\n"
        "  pop %rdi\n"
        "  and %edx, %esi\n"
        "  jmp *%rax\n"
        ".size dlopen, . - dlopen\n"
        ".globl dlmopen\n"
        ".type dlmopen, @function\n"
        "dlmopen:\n"
        "  push %rdi\n"
        "  push %rsi\n"
        "  push %rdx\n"
        "  lea 8(%rsp), %rsi\n"
        "  call hooks_dlmopen\n"
        "  mov %rdx, %rcx\n"
        "  pop %rdx\n"
        "  pop %rsi\n"
        "  pop %rdi\n"
        "  and %ecx, %edx\n"
        "  jmp *%rax\n"
        ".size dlmopen, . - dlmopen\n");
#elif defined(__aarch64__)
__asm__(".text\n"
        ".globl dlopen\n"
        ".type dlopen, %function\n"
        "dlopen:\n"
        "  hint #34\n" /* bti c */
        "  stp x29, x30, [sp, #-32]!\n"
        "  stp x0, x1, [sp, #16]\n"
        "  add x0, sp, #16\n"
        "  bl hooks_dlopen\n"
        "  mov x16, x0\n"
        "  mov x17, x1\n"
        "  ldp x0, x1, [sp, #16]\n"
        "  ldp x29, x30, [sp], #32\n"
        "  and w1, w1, w17\n"
        "  br x16\n"
        ".size dlopen, . - dlopen\n"
        ".globl dlmopen\n"
        ".type dlmopen, %function\n"
        "dlmopen:\n"
        "  hint #34\n"
        "  stp x29, x30, [sp, #-48]!\n"
        "  stp x0, x1, [sp, #16]\n"
        "  str x2, [sp, #32]\n"
        "  add x1, sp, #24\n"
        "  bl hooks_dlmopen\n"
        "  mov x16, x0\n"
        "  mov x17, x1\n"
        "  ldr x2, [sp, #32]\n"
        "  ldp x0, x1, [sp, #16]\n"
        "  ldp x29, x30, [sp], #48\n"
        "  and w2, w2, w17\n"
        "  br x16\n"
        ".size dlmopen, . - dlmopen\n");
#endif

#endif
