/*
 * The sandbox launcher: runs one command the way Lambda would, as far as the machine allows. Linux only, static, no
 * library.
 *
 *   main.c     from the command line to an end: tries the modes, watches over the sandbox
 *   options.c  the command line
 *   monitor.c  the process outside: commands from the platform, freeze, kill, clean up
 *   init.c     the process inside: pid 1 (modes root and user), or the command itself (mode bare)
 *   root.c     the file system that the command sees
 *   limits.c   user, capabilities, resource limits
 *   refuse.c   system calls that Lambda refuses
 *   freeze.c   cgroups, or SIGSTOP
 *   tree.c     all processes below one
 *   owner.c    whether a connection is one of the sandbox's
 *   report.c   what is said to the platform
 *
 * Modes: `root` (namespaces, as root), `user` (the same inside a user namespace), `bare` (neither is possible).
 *
 * The control descriptor is a stream socket to the platform. Its end is the platform's end: everything is killed.
 *   commands  `freeze`, `thaw`, `kill`, `owns ADDRESS PORT ADDRESS PORT`, one per line. The last asks whether a
 *             process of the
 *             sandbox has the socket at the first end of that TCP connection
 *   events    one JSON object per line:
 *             {"event":"started","mode":…,"pid":…,"isolation":{…},"missing":[…]}
 *             {"event":"failed","reason":…}             the command was never started
 *             {"event":"frozen"|"thawed"|"owned","ok":…}   answers to commands
 *             {"event":"exit","code":…,"signal":…}      the command ended (or was killed), and all others with it
 */
#ifndef IMAGINARY_SANDBOX_H
#define IMAGINARY_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define MAX_ENTRIES 4096
#define MAX_CGROUPS 8
#define MAX_MISSING 16
#define MESSAGE_SIZE 512

enum mode { MODE_AUTO, MODE_ROOT, MODE_USER, MODE_BARE };
enum entry_kind { ENTRY_BIND, ENTRY_SYMLINK, ENTRY_DIRECTORY };
enum freezer { FREEZER_SIGSTOP, FREEZER_V1, FREEZER_V2 };

/* One thing to appear in the sandbox's file system. */
struct entry {
  enum entry_kind kind;
  const char *source; /* bind: a path outside, made real before anything is mounted. symlink: its text */
  const char *target;
};

struct setting {
  const char *file;
  const char *value;
};

struct options {
  enum mode mode;
  bool probe;     /* set everything up, run nothing */
  bool unlimited; /* mode bare: only look after it; no limits, nothing refused */
  int control;
  uid_t uid;
  gid_t gid;
  const char *tmp; /* a directory outside that becomes /tmp */
  const char *directory;
  const char *network; /* path of the network namespace to be in; NULL: the one we are in */
  const char *users;   /* path of the user namespace that owns it; NULL: ours */
  struct entry entries[MAX_ENTRIES];
  int entry_count;
  const char *cgroups[MAX_CGROUPS]; /* made, joined by the sandbox, removed at its end */
  int cgroup_count;
  struct setting settings[MAX_CGROUPS * 2];
  int setting_count;
  enum freezer freezer;
  const char *freezer_cgroup;
  char **command;
};

/* What could not be had, in words, each with its reason. */
struct missing {
  int count;
  char lines[MAX_MISSING][MESSAGE_SIZE];
};

/* Set by whoever fails last; what went wrong in one line. */
extern char failure[MESSAGE_SIZE];
/* Sets `failure` from a format and, with error != 0, what errno it was. Returns false. */
bool fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));
void miss(struct missing *missing, const char *format, ...) __attribute__((format(printf, 2, 3)));

bool parse_options(int argc, char **argv, struct options *options);

/* root.c: builds the root and moves into it. In the new mount namespace, still with privileges. */
bool enter_root(const struct options *options, struct missing *missing);

/* limits.c */
bool drop_privileges(const struct options *options, enum mode mode);
bool set_limits(enum mode mode);

/* refuse.c */
bool refuse_calls(void);

/*
 * init.c: what the first process inside does; never returns. `go` gives a byte when it may start, `error` takes lines,
 * until the command runs: `M` and what is missing, `E` and why it failed. `status` takes an int as of waitpid.
 */
_Noreturn void run_inside(const struct options *options, enum mode mode, int go, int error, int status);

/* freeze.c */
bool make_cgroups(const struct options *options, struct missing *missing);
bool join_cgroups(const struct options *options, pid_t pid, struct missing *missing, bool *freezable);
void remove_cgroups(const struct options *options);
bool freeze(enum freezer freezer, const char *cgroup, pid_t root);
bool thaw(enum freezer freezer, const char *cgroup, pid_t root);
bool write_file(const char *path, const char *text);

/* tree.c: all processes below `root` (without it, unless `self`). */
int list_tree(pid_t root, bool self, pid_t *pids, char *states, int limit);
/* Stops them until a look finds all stopped; continues those that it stopped. */
bool stop_tree(pid_t root, bool self);
void continue_tree(pid_t root, bool self);
/* Kills all processes below this one and reaps them. */
void kill_children(void);

/*
 * owner.c: `ends` is what follows `owns`. The processes are those of the cgroup; NULL: those below `root` (without it,
 * unless `self`).
 */
bool owns_connection(const char *ends, const char *cgroup, pid_t root, bool self);

/* report.c */
void report_started(int fd, enum mode mode, pid_t pid, const struct options *options, bool freezable, bool memory,
                    const struct missing *missing);
void report_failed(int fd, const char *reason, const struct missing *missing);
void report_answer(int fd, const char *event, bool ok);
void report_exit(int fd, int status);

/* monitor.c: watches until the sandbox has ended; everything is gone when it returns. Returns a wait status. */
int watch(const struct options *options, enum mode mode, pid_t child, int status, bool freezable);

#endif
