#define _GNU_SOURCE
#include "sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define SETUP_FAILED 125

static void say(int fd, char kind, const char *text) {
  char line[IM_MESSAGE_SIZE + 2];
  int length = snprintf(line, sizeof line, "%c%s\n", kind, text);
  ssize_t written = write(fd, line, (size_t)(length < (int)sizeof line ? length : (int)sizeof line - 1));
  (void)written;
}

_Noreturn static void give_up(int error) {
  say(error, 'E', fail_message);
  _exit(SETUP_FAILED);
}

/* Whatever the platform's own parents left open: the command gets its three descriptors, those up to `last`, and no
 * others. */
static void close_on_exec(int last) {
  DIR *open = opendir("/proc/self/fd");
  for (struct dirent *entry; open && (entry = readdir(open));) {
    int fd = atoi(entry->d_name);
    if (fd > 2 && fd > last) fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
  if (open) closedir(open);
}

/*
 * Becomes the command. A session of its own, so that a signal to "my process group" stays inside. What a machine
 * without any privilege refuses (it may refuse even to refuse more) is reported, and done without.
 */
_Noreturn static void run_command(const struct im_options *options, enum im_mode mode, int error) {
  sigset_t none;
  sigemptyset(&none);
  setsid();
  if (!options->unlimited && !seccomp_refuse()) {
    if (mode != IM_MODE_BARE) give_up(error);
    char line[IM_MESSAGE_SIZE + 64];
    snprintf(line, sizeof line, "calls that Lambda refuses are not refused: %s", fail_message);
    say(error, 'M', line);
  }
  sigprocmask(SIG_SETMASK, &none, NULL);
  close_on_exec(options->keep);
  signal(SIGPIPE, SIG_DFL);
  execvpe(options->command[0], options->command, environ);
  fail(errno, "%s", options->command[0]);
  give_up(error);
}

/*
 * Pid 1: hands signals on to the command, reaps, and ends with the command, and all processes of the namespace with it.
 */
_Noreturn static void serve(pid_t command, int status) {
  sigset_t awaited;
  sigemptyset(&awaited);
  sigaddset(&awaited, SIGCHLD);
  sigaddset(&awaited, SIGTERM);
  sigaddset(&awaited, SIGINT);
  for (;;) {
    int ended, signal = sigwaitinfo(&awaited, NULL);
    if (signal == SIGTERM || signal == SIGINT) kill(command, signal);
    for (pid_t pid; (pid = waitpid(-1, &ended, WNOHANG)) > 0;) {
      if (pid != command) continue;
      ssize_t written = write(status, &ended, sizeof ended);
      (void)written;
      _exit(0);
    }
  }
}

static bool follow_parent(enum im_mode mode) {
  /* Without namespaces this is a second line only: the process outside kills what is left when it ends in order. */
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 || mode == IM_MODE_BARE) return true;
  return fail(errno, "PR_SET_PDEATHSIG");
}

_Noreturn void init_run(const struct im_options *options, enum im_mode mode, int go, int error, int status) {
  struct im_missing missing = {0};
  char byte;
  bool bare = mode == IM_MODE_BARE;
  if (!follow_parent(mode)) give_up(error);
  if (read(go, &byte, 1) != 1) _exit(SETUP_FAILED); /* the process outside has ended */
  close(go);
  if (!bare && !root_enter(options, &missing)) give_up(error);
  for (int i = 0; i < missing.count; i++) say(error, 'M', missing.lines[i]);
  if (!options->unlimited && (!limits_set(mode) || !limits_drop_privileges(options, mode))) give_up(error);
  if (!follow_parent(mode)) give_up(error); /* the change of user has cleared it */
  if (chdir(options->directory) != 0) {
    fail(errno, "%s", options->directory);
    give_up(error);
  }
  if (options->probe) _exit(0);
  if (bare) run_command(options, mode, error);
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL); /* before there is a child whose end could be missed */
  pid_t command = fork();
  if (command < 0) {
    fail(errno, "fork");
    give_up(error);
  }
  if (command == 0) run_command(options, mode, error);
  close(error);
  serve(command, status);
}
