#define _GNU_SOURCE
#include "sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_PROCESSES 32768

struct process {
  pid_t pid, parent;
  char state;
  bool inside;
};

static struct process processes[MAX_PROCESSES];

static bool read_process(const char *name, struct process *process) {
  char path[64], text[512];
  snprintf(path, sizeof path, "/proc/%.16s/stat", name);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t length = read(fd, text, sizeof text - 1);
  close(fd);
  if (length <= 0) return false;
  text[length] = '\0';
  char *after = strrchr(text, ')'); /* the name before it may hold anything */
  int parent;
  if (!after || sscanf(after + 1, " %c %d", &process->state, &parent) != 2) return false;
  process->pid = atoi(name);
  process->parent = parent;
  process->inside = false;
  return true;
}

static int read_processes(void) {
  DIR *proc = opendir("/proc");
  if (!proc) return 0;
  int count = 0;
  for (struct dirent *entry; (entry = readdir(proc)) && count < MAX_PROCESSES;) {
    if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && read_process(entry->d_name, &processes[count])) count++;
  }
  closedir(proc);
  return count;
}

int tree_list(pid_t root, bool self, pid_t *pids, char *states, int limit) {
  int count = read_processes(), found = 0;
  for (bool more = true; more;) { /* a child's number may be lower than its parent's: look until nothing is added */
    more = false;
    for (int i = 0; i < count; i++) {
      if (processes[i].inside) continue;
      bool inside = processes[i].pid == root;
      for (int j = 0; !inside && j < count; j++) {
        inside = processes[j].inside && processes[j].pid == processes[i].parent;
      }
      processes[i].inside = inside;
      more = more || inside;
    }
  }
  for (int i = 0; i < count && found < limit; i++) {
    if (!processes[i].inside || (processes[i].pid == root && !self)) continue;
    pids[found] = processes[i].pid;
    states[found++] = processes[i].state;
  }
  return found;
}

static pid_t found[MAX_PROCESSES], stopped[MAX_PROCESSES];
static char states[MAX_PROCESSES];
static int stopped_count;

static bool known(pid_t pid) {
  for (int i = 0; i < stopped_count; i++) {
    if (stopped[i] == pid) return true;
  }
  return false;
}

bool tree_stop(pid_t root, bool self) {
  stopped_count = 0;
  for (int round = 0; round < 1000; round++) {
    int count = tree_list(root, self, found, states, MAX_PROCESSES), moving = 0;
    for (int i = 0; i < count; i++) {
      /* Stopped already: by us, or by itself; that one is not ours to continue later. A zombie never runs. */
      if (strchr("TtZX", states[i])) continue;
      moving++;
      bool sent = kill(found[i], SIGSTOP) == 0;
      if (sent && !known(found[i]) && stopped_count < MAX_PROCESSES) stopped[stopped_count++] = found[i];
    }
    if (moving == 0) return true;
    usleep(200); /* nothing tells when a signal has taken effect on a process that is not a child */
  }
  return fail(0, "the processes do not stand still");
}

void tree_continue(void) {
  for (int i = stopped_count - 1; i >= 0; i--) kill(stopped[i], SIGCONT);
  stopped_count = 0;
}

void tree_kill_children(void) {
  for (;;) {
    int count = tree_list(getpid(), false, found, states, MAX_PROCESSES);
    for (int i = 0; i < count; i++) kill(found[i], SIGKILL);
    /* As subreaper we get every orphan: the end of one may give us more, so look again after each. */
    if (waitpid(-1, NULL, 0) < 0 && errno == ECHILD) return;
    while (waitpid(-1, NULL, WNOHANG) > 0) continue;
  }
}
