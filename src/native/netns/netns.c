#define _GNU_SOURCE
#include "base/namespace.h"
#include "netns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define ENTER_FAILED 125

/*
 * The command does not outlive the process that asked for it: its network would not either. It is killed, not asked to
 * end: it would take the folder along that names what it has started (src/local/sandbox/leftovers.ts).
 */
static int enter(const char *net, const char *user, char **command) {
  bool own = strcmp(user, "-") == 0;
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if ((own || namespace_join(user, CLONE_NEWUSER)) && namespace_join(net, CLONE_NEWNET)) {
    if (!own) prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* the change of user namespace has cleared it */
    execvp(command[0], command);
    fail(errno, "%s", command[0]);
  }
  fprintf(stderr, "network: %s\n", fail_message);
  return ENTER_FAILED;
}

/*
 * A command that a root user runs may rename the machine: with a NAME it gets one of its own to rename, or is not run.
 * The command ends with its parent, also when the parent is killed.
 */
static int be_client(const char *name, char **command) {
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  bool own = strcmp(name, "-") != 0;
  if (own && (unshare(CLONE_NEWUTS) != 0 || sethostname(name, strlen(name)) != 0)) {
    fail(errno, "a name of its own");
  } else {
    execvp(command[0], command);
    fail(errno, "%s", command[0]);
  }
  fprintf(stderr, "imaginary: %s\n", fail_message);
  return ENTER_FAILED;
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  if (argc >= 5 && strcmp(argv[1], "enter") == 0) {
    signal(SIGPIPE, SIG_DFL);
    return enter(argv[2], argv[3], argv + 4);
  }
  if (argc >= 4 && strcmp(argv[1], "client") == 0) {
    signal(SIGPIPE, SIG_DFL);
    return be_client(argv[2], argv + 3);
  }
  if (argc == 7 && strcmp(argv[1], "hold") == 0 && strcmp(argv[2], "--control") == 0 &&
      strcmp(argv[4], "--answers") == 0) {
    return hold(atoi(argv[3]), atoi(argv[5]));
  }
  fprintf(stderr, "usage: network hold --control FD --answers FD NAME\n       network enter NET USER COMMAND…\n"
                  "       network client NAME COMMAND…\n");
  return 2;
}
