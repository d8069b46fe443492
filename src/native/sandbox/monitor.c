#define _GNU_SOURCE
#include "sandbox.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

struct watched {
  const struct im_options *options;
  enum im_mode mode;
  enum im_freezer freezer;
  pid_t child;
  bool killed;
  bool ended;
  int wait_status;
};

/* What is frozen or killed as a whole: in mode bare everything below us, else the namespace's pid 1 and below. */
static pid_t root_of(const struct watched *watched) {
  return watched->mode == IM_MODE_BARE ? getpid() : watched->child;
}

/* Signal first, thaw second: nothing runs a further instruction of its own. */
static void kill_all(struct watched *watched) {
  watched->killed = true;
  if (!watched->ended) kill(watched->child, SIGKILL);
  if (watched->mode == IM_MODE_BARE && watched->freezer != IM_FREEZER_SIGSTOP) {
    pid_t pids[1024];
    char states[1024];
    int count = tree_list(getpid(), false, pids, states, 1024);
    for (int i = 0; i < count; i++) kill(pids[i], SIGKILL);
  }
  if (watched->freezer != IM_FREEZER_SIGSTOP) freeze_end(watched->freezer, watched->options->freezer_cgroup);
}

static void reap(struct watched *watched) {
  int status;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
    if (pid != watched->child) continue; /* mode bare: an orphan */
    watched->ended = true;
    watched->wait_status = status;
  }
}

static void obey(struct watched *watched, const char *command) {
  const char *cgroup = watched->options->freezer_cgroup;
  int control = watched->options->control;
  if (strcmp(command, "freeze") == 0) {
    report_answer(control, "frozen", freeze_start(watched->freezer, cgroup, root_of(watched)));
  } else if (strcmp(command, "thaw") == 0) {
    report_answer(control, "thawed", freeze_end(watched->freezer, cgroup));
  } else if (strcmp(command, "kill") == 0) {
    kill_all(watched);
  } else if (strncmp(command, "owns ", 5) == 0) {
    const char *own = watched->freezer == IM_FREEZER_SIGSTOP ? NULL : cgroup;
    pid_t root = root_of(watched);
    report_answer(control, "owned", owner_has_connection(command + 5, own, root, root != getpid()));
  }
}

/* False: the platform is gone. */
static bool read_commands(struct watched *watched) {
  static char buffer[256];
  static size_t used;
  ssize_t length = read(watched->options->control, buffer + used, sizeof buffer - used);
  if (length < 0) return errno == EINTR || errno == EAGAIN;
  if (length == 0) return false;
  used += (size_t)length;
  for (char *end; (end = memchr(buffer, '\n', used));) {
    *end = '\0';
    obey(watched, buffer);
    used -= (size_t)(end + 1 - buffer);
    memmove(buffer, end + 1, used);
  }
  return used < sizeof buffer;
}

static void read_signal(struct watched *watched, int signals) {
  struct signalfd_siginfo info;
  if (read(signals, &info, sizeof info) != sizeof info) return;
  if (info.ssi_signo == SIGCHLD) {
    reap(watched);
  } else if (!watched->ended) {
    kill(watched->child, (int)info.ssi_signo); /* handed on to the command */
  }
}

int monitor_watch(const struct im_options *options, enum im_mode mode, pid_t child, int status, bool freezable) {
  struct watched watched = {.options = options, .mode = mode, .child = child};
  watched.freezer = freezable ? options->freezer : IM_FREEZER_SIGSTOP;
  sigset_t awaited;
  sigemptyset(&awaited);
  int all[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP};
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) sigaddset(&awaited, all[i]);
  int signals = signalfd(-1, &awaited, SFD_CLOEXEC);
  int control = options->control;
  while (!watched.ended) {
    struct pollfd polled[2] = {{.fd = signals, .events = POLLIN}, {.fd = control, .events = POLLIN}};
    if (poll(polled, 2, -1) < 0) continue;
    if (polled[1].revents && !read_commands(&watched)) {
      control = -1;
      kill_all(&watched);
    }
    if (polled[0].revents) read_signal(&watched, signals);
  }
  close(signals);
  if (mode == IM_MODE_BARE) {
    kill_all(&watched);
    tree_kill_children();
    return watched.wait_status;
  }
  int command_status; /* what became of the command, from pid 1; nothing when pid 1 was killed with the rest */
  bool said = read(status, &command_status, sizeof command_status) == sizeof command_status;
  return said ? command_status : watched.wait_status;
}
