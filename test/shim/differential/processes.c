/* Processes: whatever a guest starts is a guest, and has its descriptors. Each new program connects to the server. */
#include "differential.h"

#include <spawn.h>
#include <sys/stat.h>
#include <sys/syscall.h>

extern char **environ;

static char port_text[16];

static char **arguments(const char *which) {
  static char *list[7];
  snprintf(port_text, sizeof port_text, "%d", port);
  const char *values[] = {program_path, which, native ? "native" : "shim", self_text, peer_text, port_text, 0};
  memcpy(list, values, sizeof values);
  return list;
}

/* What the started programs do. */
static void connects_here(void) {
  int fd = tcp(0);
  connects(fd, SERVER);
  remote(fd);
  ping(fd);
}

static void uses_50(void) {
  remote(50);
  ping(50);
}

static void after_fork(void) {
  pid_t child = fork();
  if (child == 0) {
    connects_here();
    _exit(0);
  }
  child_ends(child);
  connects_here();
}

static void after_two_forks(void) {
  pid_t child = fork();
  if (child == 0) {
    pid_t second = fork();
    if (second == 0) {
      connects_here();
      _exit(3);
    }
    child_ends(second);
    _exit(4);
  }
  child_ends(child);
}

static void vfork_exec(void) {
  char **list = arguments("connects");
  pid_t child = vfork();
  if (child == 0) {
    execv(program_path, list);
    _exit(127);
  }
  child_ends(child);
}

static void fork_exec(void) {
  pid_t child = fork();
  if (child == 0) {
    execvp(program_path, arguments("connects"));
    _exit(127);
  }
  child_ends(child);
}

static void exec_clean(void) {
  pid_t child = fork();
  if (child == 0) {
    char *none[] = {0};
    execve(program_path, arguments("connects"), none);
    _exit(127);
  }
  child_ends(child);
}

static void exec_cleared(void) {
  pid_t child = fork();
  if (child == 0) {
    clearenv();
    execv(program_path, arguments("connects"));
    _exit(127);
  }
  child_ends(child);
}

static void spawns(void) {
  pid_t child;
  int failure = posix_spawn(&child, program_path, 0, 0, arguments("connects"), environ);
  child_ends(child);
  say("spawn %s", error_name(failure));
}

static void spawns_clean(void) {
  pid_t child;
  char *none[] = {"A=B", 0};
  int failure = posix_spawnp(&child, program_path, 0, 0, arguments("connects"), none);
  child_ends(child);
  say("spawn %s", error_name(failure));
}

static void spawns_with_actions(void) {
  pid_t child;
  posix_spawn_file_actions_t actions;
  int fd = tcp(0);
  connects(fd, SERVER);
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, fd, 50);
  posix_spawn_file_actions_addclose(&actions, fd);
  int failure = posix_spawn(&child, program_path, &actions, 0, arguments("uses 50"), environ);
  child_ends(child);
  say("spawn %s", error_name(failure));
}

static void spawns_nothing(void) {
  pid_t child;
  char *list[] = {"none", 0};
  say("spawn %s", error_name(posix_spawn(&child, "/nonexistent/program", 0, 0, list, environ)));
  result("execv", execv("/nonexistent/program", list));
  result("execv", execv("/dev/null", list));
  result("execvp", execvp("no-such-program-at-all", list));
  result("execv", execv("/", list));
}

static void shell(void) {
  fflush(stdout);
  char command[1024];
  arguments("connects");
  snprintf(command, sizeof command, "env -i '%s' connects %s %s %s %s", program_path, native ? "native" : "shim",
           self_text, peer_text, port_text);
  int status = system(command);
  say("exit %d", WEXITSTATUS(status));
}

static void reads_a_pipe(void) {
  char command[1024], line[256];
  arguments("connects");
  snprintf(command, sizeof command, "'%s' connects %s %s %s %s", program_path, native ? "native" : "shim", self_text,
           peer_text, port_text);
  FILE *stream = popen(command, "r");
  NEED(stream);
  while (fgets(line, sizeof line, stream)) {
    line[strcspn(line, "\n")] = 0;
    say("| %s", line);
  }
  say("exit %d", WEXITSTATUS(pclose(stream)));
}

static void connection_over_exec(void) {
  int fd = tcp(0);
  connects(fd, SERVER);
  NEED(dup2(fd, 50) == 50);
  pid_t child = fork();
  if (child == 0) {
    execv(program_path, arguments("uses 50"));
    _exit(127);
  }
  child_ends(child);
  ping(fd);
}

static void cloexec_over_exec(void) {
  int fd = tcp(SOCK_CLOEXEC);
  connects(fd, SERVER);
  NEED(dup3(fd, 50, O_CLOEXEC) == 50);
  pid_t child = fork();
  if (child == 0) {
    execv(program_path, arguments("uses 50"));
    _exit(127);
  }
  child_ends(child);
}

static void closes_all(void) {
  for (int fd = 3; fd < 5000; fd++) close(fd);
  connects_here();
}

static void closes_range(void) {
#ifdef SYS_close_range
  result("close_range", (int)syscall(SYS_close_range, 3, ~0u, 0));
#endif
  connects_here();
}

static void closes_all_while_pending(void) {
  order("hold");
  int fd = tcp(SOCK_NONBLOCK);
  connects(fd, SERVER);
  for (int number = 3; number < 5000; number++) close(number);
  order("go");
  connects_here();
}

static void daemonises(void) {
  int ends[2];
  NEED(pipe(ends) == 0);
  pid_t child = fork();
  if (child == 0) {
    setsid();
    if (fork() != 0) _exit(0);
    NEED(chdir("/") == 0);
    close(0);
    open("/dev/null", O_RDWR);
    connects_here();
    NEED(write(ends[1], "x", 1) == 1);
    _exit(0);
  }
  char byte;
  waitpid(child, 0, 0);
  count("daemon", (int)read(ends[0], &byte, 1));
}

static void *connects_in_thread(void *argument) {
  int fd = tcp(0);
  return (void *)(intptr_t)(raw_connect(fd, SERVER) == 0 && argument == 0);
}

static void fork_in_threads(void) {
  pthread_t threads[4];
  int connected = 0;
  void *value;
  for (int i = 0; i < 4; i++) pthread_create(&threads[i], 0, connects_in_thread, 0);
  pid_t child = fork();
  if (child == 0) _exit(raw_connect(tcp(0), SERVER) == 0 ? 0 : 1);
  for (int i = 0; i < 4; i++) {
    pthread_join(threads[i], &value);
    connected += value != 0;
  }
  say("%d", connected);
  child_ends(child);
}

static void setuids(void) {
  pid_t child = fork();
  if (child == 0) {
    if (getuid() == 0) NEED(setgid(65534) == 0 && setuid(65534) == 0);
    connects_here();
    _exit(0);
  }
  child_ends(child);
}

static void changes_directory(void) {
  NEED(chdir("/") == 0);
  pid_t child = fork();
  if (child == 0) {
    execv(program_path, arguments("connects"));
    _exit(127);
  }
  child_ends(child);
}

static void listens_in_a_child(void) {
  int ends[2];
  char byte;
  NEED(pipe(ends) == 0);
  pid_t child = fork();
  if (child == 0) {
    int fd = tcp(0);
    raw_bind(fd, at(ANY, port + 1));
    listen(fd, 4);
    NEED(write(ends[1], "x", 1) == 1);
    int got = accept(fd, 0, 0);
    NEED(write(got, "hi", 2) == 2);
    _exit(0);
  }
  NEED(read(ends[0], &byte, 1) == 1);
  int client = tcp(0);
  connects(client, at(self_ip, port + 1));
  reads(client);
  child_ends(child);
}

static void descriptors(void) {
  int before = open("/dev/null", O_RDWR);
  connects_here();
  int fd = tcp(0);
  raw_connect(fd, SERVER);
  close(fd);
  int after = open("/dev/null", O_RDWR);
  /* One for the connection that connects_here has left open. */
  say("%d", after - before);
}

static const struct one cases[] = {
    {"fork", after_fork},
    {"fork twice", after_two_forks},
    {"vfork and exec", vfork_exec},
    {"fork and exec", fork_exec},
    {"exec with an empty environment", exec_clean},
    {"exec after clearenv", exec_cleared},
    {"posix_spawn", spawns},
    {"posix_spawnp with an environment of its own", spawns_clean},
    {"posix_spawn with file actions", spawns_with_actions},
    {"programs that are not there", spawns_nothing},
    {"system and env -i", shell},
    {"popen", reads_a_pipe},
    {"a connection over exec", connection_over_exec},
    {"a connection with close-on-exec over exec", cloexec_over_exec},
    {"all descriptors closed", closes_all},
    {"close_range", closes_range},
    {"all descriptors closed while a connect waits", closes_all_while_pending},
    {"daemonised", daemonises},
    {"fork while threads connect", fork_in_threads},
    {"another user", setuids},
    {"another directory", changes_directory},
    {"a listener in a child", listens_in_a_child},
    {"numbers of descriptors", descriptors},
    {"connects", connects_here}, /* what they start; not cases of their own */
    {"uses 50", uses_50},
};

MAIN(cases)
