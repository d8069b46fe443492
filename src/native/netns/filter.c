#define _GNU_SOURCE
#include "netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* An exec leaves nothing of what a user namespace gave us, unless it is said twice. */
static void keep_capabilities(void) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct sets[2];
  if (syscall(SYS_capget, &header, sets) != 0) return;
  for (int i = 0; i < 2; i++) sets[i].inheritable = sets[i].permitted;
  if (syscall(SYS_capset, &header, sets) == 0) prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_ADMIN, 0, 0);
}

_Noreturn static void become_nft(const struct im_space *space, int input, int output) {
  if (setns(space->fd, CLONE_NEWNET) != 0) _exit(126);
  keep_capabilities();
  if (dup2(input, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0) _exit(126);
  static const char *const places[] = {"/usr/sbin/nft", "/sbin/nft", "/usr/local/sbin/nft", "/usr/bin/nft"};
  for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) execl(places[i], "nft", "-f", "-", (char *)NULL);
  execlp("nft", "nft", "-f", "-", (char *)NULL);
  if (errno == ENOENT)
    dprintf(2, "the program nft is not installed (Debian: package nftables)");
  else
    dprintf(2, "nft: %s", strerror(errno));
  _exit(127);
}

bool filter_start(const struct im_space *space, const char *text, struct im_filter *filter) {
  int output[2], input = memfd_create("filter", MFD_CLOEXEC);
  if (input < 0) return fail(errno, "memfd");
  bool written = dprintf(input, "%s\n", text) > 0 && lseek(input, 0, SEEK_SET) == 0;
  if (!written || pipe2(output, O_CLOEXEC) != 0) return fail(errno, "filter"), close(input), false;
  pid_t pid = fork();
  if (pid == 0) become_nft(space, input, output[1]);
  if (pid < 0) fail(errno, "fork");
  close(input);
  close(output[1]);
  if (pid < 0) return close(output[0]), false;
  *filter = (struct im_filter){pid, output[0]};
  return true;
}

bool filter_finish(struct im_filter *filter) {
  char text[IM_MESSAGE_SIZE];
  size_t length = 0;
  for (ssize_t n;
       length < sizeof text - 1 && (n = read(filter->output, text + length, sizeof text - 1 - length)) > 0;) {
    length += (size_t)n;
  }
  text[length] = '\0';
  close(filter->output);
  int status = 0;
  while (waitpid(filter->pid, &status, 0) < 0 && errno == EINTR) continue;
  return status == 0 || fail(0, "nft: %s", length > 0 ? text : "it failed");
}
