#define _GNU_SOURCE
#include "base/namespace.h"
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAMESPACES (CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS)
#define LAUNCHER_FAILED 125

/* A sandbox that was started in one of the modes. */
struct started {
  pid_t pid;
  int status; /* read end: the command's wait status, from pid 1 */
  bool freezable;
  bool limited;
};

/* Reads what the inside says until the command runs (end of file) or its set-up has failed. */
static bool read_setup(int fd, struct im_missing *missing) {
  FILE *lines = fdopen(fd, "re");
  char *line = NULL;
  size_t size = 0;
  bool ok = lines != NULL;
  while (lines && getline(&line, &size, lines) > 0) {
    line[strcspn(line, "\n")] = '\0';
    if (line[0] == 'M') report_missing(missing, "%s", line + 1);
    if (line[0] == 'E') ok = fail(0, "%s", line + 1);
  }
  free(line);
  if (lines) fclose(lines);
  return ok;
}

static void close_pair(const int pair[2]) {
  close(pair[0]);
  close(pair[1]);
}

static bool start(const struct im_options *options, enum im_mode mode, struct im_missing *missing,
                  struct started *started) {
  int go[2], error[2], status[2];
  if (pipe2(go, O_CLOEXEC) != 0) return fail(errno, "pipe");
  if (pipe2(error, O_CLOEXEC) != 0) return close_pair(go), fail(errno, "pipe");
  if (pipe2(status, O_CLOEXEC) != 0) return close_pair(go), close_pair(error), fail(errno, "pipe");
  unsigned long flags = mode == IM_MODE_BARE ? 0 : mode == IM_MODE_USER ? NAMESPACES | CLONE_NEWUSER : NAMESPACES;
  pid_t pid = (pid_t)syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
  int clone_error = errno;
  if (pid == 0) {
    close(go[1]);
    close(error[0]);
    close(status[0]);
    if (options->control >= 0) close(options->control);
    init_run(options, mode, go[0], error[1], status[1]);
  }
  close(go[0]);
  close(error[1]);
  close(status[1]);
  bool ok = pid > 0 || fail(clone_error, "clone");
  started->limited = ok && cgroups_join(options, pid, missing, &started->freezable) && options->setting_count > 0;
  /* Inside it is Lambda's user, outside it is us. */
  ok = ok && (mode != IM_MODE_USER || namespace_map(pid, options->uid, geteuid(), options->gid, getegid()));
  if (ok && write(go[1], "g", 1) != 1) ok = fail(errno, "go");
  close(go[1]); /* without the byte: it ends by itself */
  if (ok) {
    ok = read_setup(error[0], missing);
  } else {
    close(error[0]);
  }
  if (!ok) {
    if (pid > 0) waitpid(pid, NULL, 0);
    close(status[0]);
    return false;
  }
  started->pid = pid;
  started->status = status[0];
  return true;
}

/* The first mode that works. Why a better one did not matters in mode bare only: those with namespaces are equal. */
static bool start_best(const struct im_options *options, enum im_mode *mode, struct im_missing *missing,
                       struct started *started) {
  static const enum im_mode order[] = {IM_MODE_ROOT, IM_MODE_USER, IM_MODE_BARE};
  static const char *const names[] = {"", "namespaces as root", "namespaces of a user", "bare"};
  if (options->mode != IM_MODE_AUTO) return start(options, *mode = options->mode, missing, started);
  struct im_missing tried = {0};
  for (int i = 0; i < 3; i++) {
    *mode = order[i];
    if (*mode == IM_MODE_ROOT && geteuid() != 0) continue;
    struct im_missing here = {0};
    bool ok = start(options, *mode, &here, started);
    if (!ok) report_missing(&tried, "%s: %s", names[*mode], fail_message);
    if (!ok) continue;
    for (int j = 0; *mode == IM_MODE_BARE && j < tried.count; j++) report_missing(missing, "%s", tried.lines[j]);
    for (int j = 0; j < here.count; j++) report_missing(missing, "%s", here.lines[j]);
    return true;
  }
  return false;
}

/* This process too: what it starts is where it is. */
static bool join_network(const struct im_options *options) {
  if (options->users && !namespace_join(options->users, CLONE_NEWUSER)) return false;
  /* The gain of capabilities has hidden /proc/PID of ours and our children from us. */
  if (options->users) prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  return !options->network || namespace_join(options->network, CLONE_NEWNET);
}

int main(int argc, char **argv) {
  static struct im_options options;
  struct im_missing missing = {0};
  struct started started = {0};
  enum im_mode mode = IM_MODE_AUTO;
  if (!options_parse(argc, argv, &options)) {
    fprintf(stderr, "sandbox: %s\nusage: sandbox [OPTION VALUE…]… -- COMMAND…\n", fail_message);
    return 2;
  }
  if (options.control >= 0) {
    if (fcntl(options.control, F_SETFD, FD_CLOEXEC) != 0) {
      fprintf(stderr, "sandbox: --control %d: %s\n", options.control, strerror(errno));
      return 2;
    }
  } else {
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* nobody's end of a socket to watch */
  }
  signal(SIGPIPE, SIG_IGN);
  sigset_t awaited;
  sigemptyset(&awaited);
  int all[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP};
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) sigaddset(&awaited, all[i]);
  sigprocmask(SIG_BLOCK, &awaited, NULL);
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);

  bool cgroups = cgroups_make(&options, &missing);
  if (!join_network(&options) || !start_best(&options, &mode, &missing, &started)) {
    cgroups_remove(&options);
    report_failed(options.control, fail_message, &missing);
    if (options.control < 0) fprintf(stderr, "sandbox: %s\n", fail_message);
    return LAUNCHER_FAILED;
  }
  report_started(options.control, mode, started.pid, &options, started.freezable, cgroups && started.limited, &missing);
  int status = monitor_watch(&options, mode, started.pid, started.status, started.freezable);
  cgroups_remove(&options);
  report_exit(options.control, status);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
