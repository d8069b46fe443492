#define _GNU_SOURCE
#include "sandbox.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#else
#error "which architecture is this?"
#endif

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif
#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#define NEW_NAMESPACES \
  (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)
#define X32_BIT 0x40000000u

#define FIELD(name) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, name))
/* The low word of an argument; all architectures here are little endian. */
#define ARGUMENT(i) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[i]))
#define RETURN(value) BPF_STMT(BPF_RET | BPF_K, (value))
#define REFUSE(error) RETURN(SECCOMP_RET_ERRNO | (error))
#define IF(value, then, otherwise) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (then), (otherwise))
/* Refuses one call altogether. */
#define CALL(number, error) IF((number), 0, 1), REFUSE(error)

/* What Lambda's own filter refuses, as far as guests can tell. */
bool seccomp_refuse(void) {
  struct sock_filter filter[] = {
      FIELD(arch),
      IF(NATIVE_ARCH, 1, 0),
      REFUSE(EPERM),
      FIELD(nr),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1),
      REFUSE(ENOSYS),
      CALL(SYS_ptrace, EPERM),
      CALL(SYS_seccomp, EPERM),
      CALL(SYS_setns, EPERM),
      CALL(SYS_unshare, EPERM),
      /* Its flags are in memory, out of a filter's reach; libcs fall back to clone. */
      CALL(SYS_clone3, ENOSYS),
      IF(SYS_clone, 0, 4),
      ARGUMENT(0),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, NEW_NAMESPACES, 0, 1),
      REFUSE(EPERM),
      RETURN(SECCOMP_RET_ALLOW),
      IF(SYS_prctl, 0, 4),
      ARGUMENT(0),
      IF(PR_SET_PDEATHSIG, 1, 0),
      IF(PR_SET_SECCOMP, 0, 1),
      REFUSE(EPERM),
      RETURN(SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {.len = sizeof filter / sizeof filter[0], .filter = filter};
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0 || fail(errno, "seccomp");
}
