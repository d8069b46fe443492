/*
 * The protocol of the sandbox launcher, and what its files share. README.md is the map.
 *
 * Modes: `root` (namespaces, as root), `user` (the same inside a user namespace), `bare` (neither is possible).
 *
 * The control descriptor is a stream socket to the platform. Its end is the platform's end: everything is killed.
 *   commands  `freeze`, `thaw`, `kill`, `owns ADDRESS PORT ADDRESS PORT`, one per line. The last asks whether a
 *             process of the sandbox has the socket at the first end of that TCP connection
 *   events    one JSON object per line:
 *             {"event":"started","mode":…,"pid":…,"isolation":{…},"missing":[…]}
 *             {"event":"failed","reason":…}             the command was never started
 *             {"event":"frozen"|"thawed"|"owned","ok":…}   answers to commands
 *             {"event":"exit","code":…,"signal":…}      the command ended (or was killed), and all others with it
 */
#ifndef IMAGINARY_SANDBOX_H
#define IMAGINARY_SANDBOX_H

#include "base/fail.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define IM_MAX_ENTRIES 4096
#define IM_MAX_CGROUPS 8
#define IM_MAX_MISSING 16

enum im_mode { IM_MODE_AUTO, IM_MODE_ROOT, IM_MODE_USER, IM_MODE_BARE };
enum im_entry_kind { IM_ENTRY_BIND, IM_ENTRY_SYMLINK, IM_ENTRY_DIRECTORY };
enum im_freezer { IM_FREEZER_SIGSTOP, IM_FREEZER_V1, IM_FREEZER_V2 };

/* One thing to appear in the sandbox's file system. */
struct im_entry {
  enum im_entry_kind kind;
  const char *source; /* bind: a path outside, made real before anything is mounted. symlink: its text */
  const char *target;
};

struct im_setting {
  const char *file;
  const char *value;
};

struct im_options {
  enum im_mode mode;
  bool probe;     /* set everything up, run nothing */
  bool unlimited; /* mode bare: only look after it; no limits, nothing refused */
  int control;
  int keep; /* the last descriptor that the command inherits; 0: its own three */
  uid_t uid;
  gid_t gid;
  const char *tmp; /* a directory outside that becomes /tmp */
  const char *directory;
  const char *network; /* path of the network namespace to be in; NULL: the one we are in */
  const char *users;   /* path of the user namespace that owns it; NULL: ours */
  struct im_entry entries[IM_MAX_ENTRIES];
  int entry_count;
  const char *cgroups[IM_MAX_CGROUPS]; /* made, joined by the sandbox, removed at its end */
  int cgroup_count;
  struct im_setting settings[IM_MAX_CGROUPS * 2];
  int setting_count;
  enum im_freezer freezer;
  const char *freezer_cgroup;
  char **command;
};

/* What could not be had, in words, each with its reason. */
struct im_missing {
  int count;
  char lines[IM_MAX_MISSING][IM_MESSAGE_SIZE];
};

void report_missing(struct im_missing *missing, const char *format, ...) __attribute__((format(printf, 2, 3)));

bool options_parse(int argc, char **argv, struct im_options *options);

/* root.c: builds the root and moves into it. In the new mount namespace, still with privileges. */
bool root_enter(const struct im_options *options, struct im_missing *missing);

/* limits.c */
bool limits_drop_privileges(const struct im_options *options, enum im_mode mode);
bool limits_set(enum im_mode mode);

/* seccomp.c */
bool seccomp_refuse(void);

/*
 * init.c: what the first process inside does; never returns. `go` gives a byte when it may start, `error` takes lines,
 * until the command runs: `M` and what is missing, `E` and why it failed. `status` takes an int as of waitpid.
 */
_Noreturn void init_run(const struct im_options *options, enum im_mode mode, int go, int error, int status);

/* cgroups.c */
bool cgroups_make(const struct im_options *options, struct im_missing *missing);
bool cgroups_join(const struct im_options *options, pid_t pid, struct im_missing *missing, bool *freezable);
void cgroups_remove(const struct im_options *options);

/* freeze.c */
bool freeze_start(enum im_freezer freezer, const char *cgroup, pid_t root);
bool freeze_end(enum im_freezer freezer, const char *cgroup);

/* tree.c: all processes below `root` (without it, unless `self`). */
int tree_list(pid_t root, bool self, pid_t *pids, char *states, int limit);
/* Stops them until a look finds all stopped; continues those that it stopped. */
bool tree_stop(pid_t root, bool self);
void tree_continue(void);
/* Kills all processes below this one and reaps them. */
void tree_kill_children(void);

/*
 * owner.c: `ends` is what follows `owns`. The processes are those of the cgroup; NULL: those below `root` (without it,
 * unless `self`).
 */
bool owner_has_connection(const char *ends, const char *cgroup, pid_t root, bool self);

/* report.c */
void report_started(int fd, enum im_mode mode, pid_t pid, const struct im_options *options, bool freezable, bool memory,
                    const struct im_missing *missing);
void report_failed(int fd, const char *reason, const struct im_missing *missing);
void report_answer(int fd, const char *event, bool ok);
void report_exit(int fd, int status);

/* monitor.c: watches until the sandbox has ended; everything is gone when it returns. Returns a wait status. */
int monitor_watch(const struct im_options *options, enum im_mode mode, pid_t child, int status, bool freezable);

#endif
