#define _GNU_SOURCE
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

static bool write_map(pid_t pid, const char *file, const char *text) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
  return write_file(path, text);
}

/* Inside it is Lambda's user, outside it is us. */
static bool map_user(pid_t pid, const struct options *options) {
  char uids[64], gids[64];
  snprintf(uids, sizeof uids, "%u %u 1", (unsigned)options->uid, (unsigned)geteuid());
  snprintf(gids, sizeof gids, "%u %u 1", (unsigned)options->gid, (unsigned)getegid());
  return write_map(pid, "setgroups", "deny") && write_map(pid, "gid_map", gids) && write_map(pid, "uid_map", uids);
}

/* Reads what the inside says until the command runs (end of file) or its set-up has failed. */
static bool read_setup(int fd, struct missing *missing) {
  FILE *lines = fdopen(fd, "re");
  char *line = NULL;
  size_t size = 0;
  bool ok = lines != NULL;
  while (lines && getline(&line, &size, lines) > 0) {
    line[strcspn(line, "\n")] = '\0';
    if (line[0] == 'M') miss(missing, "%s", line + 1);
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

static bool start(const struct options *options, enum mode mode, struct missing *missing, struct started *started) {
  int go[2], error[2], status[2];
  if (pipe2(go, O_CLOEXEC) != 0) return fail(errno, "pipe");
  if (pipe2(error, O_CLOEXEC) != 0) return close_pair(go), fail(errno, "pipe");
  if (pipe2(status, O_CLOEXEC) != 0) return close_pair(go), close_pair(error), fail(errno, "pipe");
  unsigned long flags = mode == MODE_BARE ? 0 : mode == MODE_USER ? NAMESPACES | CLONE_NEWUSER : NAMESPACES;
  pid_t pid = (pid_t)syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
  int clone_error = errno;
  if (pid == 0) {
    close(go[1]);
    close(error[0]);
    close(status[0]);
    if (options->control >= 0) close(options->control);
    run_inside(options, mode, go[0], error[1], status[1]);
  }
  close(go[0]);
  close(error[1]);
  close(status[1]);
  bool ok = pid > 0 || fail(clone_error, "clone");
  started->limited = ok && join_cgroups(options, pid, missing, &started->freezable) && options->setting_count > 0;
  ok = ok && (mode != MODE_USER || map_user(pid, options));
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
static bool start_best(const struct options *options, enum mode *mode, struct missing *missing,
                       struct started *started) {
  static const enum mode order[] = {MODE_ROOT, MODE_USER, MODE_BARE};
  static const char *const names[] = {"", "namespaces as root", "namespaces of a user", "bare"};
  if (options->mode != MODE_AUTO) return start(options, *mode = options->mode, missing, started);
  struct missing tried = {0};
  for (int i = 0; i < 3; i++) {
    *mode = order[i];
    if (*mode == MODE_ROOT && geteuid() != 0) continue;
    struct missing here = {0};
    bool ok = start(options, *mode, &here, started);
    if (!ok) miss(&tried, "%s: %s", names[*mode], failure);
    if (!ok) continue;
    for (int j = 0; *mode == MODE_BARE && j < tried.count; j++) miss(missing, "%s", tried.lines[j]);
    for (int j = 0; j < here.count; j++) miss(missing, "%s", here.lines[j]);
    return true;
  }
  return false;
}

static bool join(const char *path, int kind) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail(errno, "%s", path);
  bool ok = setns(fd, kind) == 0 || fail(errno, "setns %s", path);
  return close(fd), ok;
}

/* This process too: what it starts is where it is. */
static bool join_network(const struct options *options) {
  if (options->users && !join(options->users, CLONE_NEWUSER)) return false;
  /* The gain of capabilities has hidden /proc/PID of ours and our children from us. */
  if (options->users) prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  return !options->network || join(options->network, CLONE_NEWNET);
}

int main(int argc, char **argv) {
  static struct options options;
  struct missing missing = {0};
  struct started started = {0};
  enum mode mode = MODE_AUTO;
  if (!parse_options(argc, argv, &options)) {
    fprintf(stderr, "sandbox: %s\nusage: sandbox [OPTION VALUE…]… -- COMMAND…\n", failure);
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

  bool cgroups = make_cgroups(&options, &missing);
  if (!join_network(&options) || !start_best(&options, &mode, &missing, &started)) {
    remove_cgroups(&options);
    report_failed(options.control, failure, &missing);
    if (options.control < 0) fprintf(stderr, "sandbox: %s\n", failure);
    return LAUNCHER_FAILED;
  }
  report_started(options.control, mode, started.pid, &options, started.freezable, cgroups && started.limited, &missing);
  int status = watch(&options, mode, started.pid, started.status, started.freezable);
  remove_cgroups(&options);
  report_exit(options.control, status);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
