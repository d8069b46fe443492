/* pdeathsig: PR_SET_PDEATHSIG in a sandbox that refuses it, as Lambda's does. */
#include "case.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static void refuse_the_signal(void) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PR_SET_PDEATHSIG, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {.len = sizeof filter / sizeof filter[0], .filter = filter};
  CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0);
  CHECK(syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGUSR1, 0, 0, 0) == -1 && errno == EPERM);
}

static int signal_now(void) {
  int signal = -1;
  CHECK(prctl(PR_GET_PDEATHSIG, &signal, 0, 0, 0) == 0);
  return signal;
}

/* A child has no signal, and no descriptor that its parent has for this. */
static void in_a_child(int descriptors) {
  pid_t child = fork();
  int status;
  if (child == 0) {
    CHECK(signal_now() == 0);
    CHECK(open_descriptors() == descriptors, "%d descriptors, not %d", open_descriptors(), descriptors);
    _exit(0);
  }
  CHECK(waitpid(child, &status, 0) == child && status == 0);
}

/* What is said to `tell` when `middle` has ended and the leaf has waited for the signal that it asked for. */
static void leaf(int asked, int tell, bool closes) {
  sigset_t set;
  siginfo_t info;
  int descriptors = open_descriptors();
  struct timespec limit = {asked ? 20 : 0, 300 * 1000 * 1000};
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigaddset(&set, SIGUSR2);
  sigprocmask(SIG_BLOCK, &set, 0);
  CHECK(prctl(PR_SET_PDEATHSIG, SIGUSR1) == 0 && signal_now() == SIGUSR1);
  CHECK(prctl(PR_SET_PDEATHSIG, 1000) == -1 && errno == EINVAL);
  in_a_child(descriptors);
  CHECK(prctl(PR_SET_PDEATHSIG, asked) == 0 && signal_now() == asked);
  if (closes)
    for (int fd = 3; fd < 4096; fd++)
      if (fd != tell) close(fd);
  CHECK(write(tell, "r", 1) == 1);
  int got = sigtimedwait(&set, &info, &limit);
  CHECK(asked ? got == asked : got == -1 && errno == EAGAIN, "%d, not %d", got, asked);
  CHECK(getppid() != 0);
  CHECK(write(tell, "s", 1) == 1);
  _exit(0);
}

static void parent_dies(int asked, bool closes) {
  int from_leaf[2], status;
  char byte;
  CHECK(pipe(from_leaf) == 0);
  pid_t middle = fork();
  if (middle == 0) {
    if (fork() == 0) leaf(asked, from_leaf[1], closes);
    pause();
  }
  close(from_leaf[1]);
  CHECK(read(from_leaf[0], &byte, 1) == 1 && byte == 'r');
  kill(middle, SIGKILL);
  CHECK(waitpid(middle, &status, 0) == middle);
  CHECK(read(from_leaf[0], &byte, 1) == 1 && byte == 's');
  close(from_leaf[0]);
}

int main(void) {
  refuse_the_signal();
  parent_dies(SIGUSR1, false);
  parent_dies(SIGUSR2, false);
  parent_dies(0, false);
  parent_dies(SIGUSR1, true);
  pid_t child = vfork();
  if (child == 0) _exit(prctl(PR_SET_PDEATHSIG, SIGUSR1) == -1 && errno == EPERM ? 0 : 1);
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0 && signal_now() == 0);
  say("ok");
  return 0;
}
