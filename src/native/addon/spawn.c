/*
 * spawn: starts a guest. Node's own spawn forks its whole address space and waits for the child's exec, which is most
 * of what starting a small guest costs; this one shares memory with the child until the exec (vfork).
 */
#define _GNU_SOURCE
#include "base/thread.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

struct plan {
  char file[IM_PATH_MAX];
  char cwd[IM_PATH_MAX];
  char **arguments;
  char **environment;
  int output;
  int errors;
  const char *failed; /* which call failed in the child */
  int error;
};

struct watch {
  pid_t pid;
  int status;
  napi_threadsafe_function deliver;
};

static void free_strings(char **strings) {
  for (char **string = strings; string && *string; string++) free(*string);
  free(strings);
}

/* An array of strings as execve wants it; NULL (and an exception) when it is not one. */
static char **read_strings(napi_env env, napi_value array) {
  uint32_t count = 0;
  if (napi_get_array_length(env, array, &count) != napi_ok) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "expected an array of strings");
    return NULL;
  }
  char **strings = calloc((size_t)count + 1, sizeof *strings);
  for (uint32_t i = 0; strings && i < count; i++) {
    napi_value value;
    size_t length = 0;
    bool ok = napi_get_element(env, array, i, &value) == napi_ok &&
              napi_get_value_string_utf8(env, value, NULL, 0, &length) == napi_ok &&
              (strings[i] = malloc(length + 1)) != NULL &&
              napi_get_value_string_utf8(env, value, strings[i], length + 1, &length) == napi_ok;
    if (ok) continue;
    free_strings(strings);
    strings = NULL;
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "expected an array of strings");
  }
  return strings;
}

/* In the child, which shares our memory: nothing here may allocate, lock or return. */
static void fail(struct plan *plan, const char *call) {
  plan->failed = call;
  plan->error = errno;
  _exit(127);
}

/*
 * Nothing of ours goes on in the guest: runtime clients (AWS's own, with its libcurl) have sockets that are not
 * CLOEXEC, and a guest that holds one of them is never without a connection.
 */
static void close_others(void) {
  if (syscall(SYS_close_range, 3u, ~0u, 0u) == 0) return; /* Linux 5.9 */
  struct rlimit limit;
  int last = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 65536 ? (int)limit.rlim_cur : 65536;
  for (int fd = 3; fd < last; fd++) close(fd);
}

static void become(struct plan *plan, int input) {
  struct sigaction standard = {.sa_handler = SIG_DFL};
  for (int signal = 1; signal < NSIG; signal++) sigaction(signal, &standard, NULL);
  if (setsid() < 0) fail(plan, "setsid");
  if (dup2(input, 0) < 0 || dup2(plan->output, 1) < 0 || dup2(plan->errors, 2) < 0) fail(plan, "dup2");
  for (int fd = 0; fd < 3; fd++) fcntl(fd, F_SETFD, 0); /* dup2 of a descriptor to itself leaves it as it was */
  if (chdir(plan->cwd) != 0) fail(plan, "chdir");
  close_others();
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  execve(plan->file, plan->arguments, plan->environment);
  fail(plan, "execve");
}

static pid_t start(struct plan *plan) {
  sigset_t all, before;
  int input = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (input < 0) {
    plan->failed = "open";
    plan->error = errno;
    return -1;
  }
  /* A handler of ours that ran in the child would run on our memory. */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pid_t pid = vfork();
  if (pid == 0) become(plan, input);
  int error = errno;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  close(input);
  if (pid < 0) {
    plan->failed = "vfork";
    plan->error = error;
  } else if (plan->failed) {
    waitpid(pid, NULL, 0);
    pid = -1;
  }
  return pid;
}

static void *wait_for(void *data) {
  struct watch *watch = data;
  while (waitpid(watch->pid, &watch->status, 0) < 0 && errno == EINTR) continue;
  napi_call_threadsafe_function(watch->deliver, NULL, napi_tsfn_blocking);
  napi_release_threadsafe_function(watch->deliver, napi_tsfn_release);
  return NULL;
}

/* onExit(code, signal): one of them is null. */
static void tell(napi_env env, napi_value on_exit, void *context, void *data) {
  struct watch *watch = context;
  (void)data;
  napi_value arguments[2], receiver;
  if (!env || napi_get_null(env, &arguments[0]) != napi_ok || napi_get_null(env, &arguments[1]) != napi_ok) return;
  int status = watch->status;
  if (WIFSIGNALED(status))
    napi_create_int32(env, WTERMSIG(status), &arguments[1]);
  else
    napi_create_int32(env, WEXITSTATUS(status), &arguments[0]);
  if (napi_get_undefined(env, &receiver) == napi_ok) {
    napi_call_function(env, receiver, on_exit, 2, arguments, NULL);
  }
}

static void free_watch(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  free(data);
}

static struct watch *prepare_watch(napi_env env, napi_value on_exit) {
  struct watch *watch = calloc(1, sizeof *watch);
  napi_value name;
  if (watch && napi_create_string_utf8(env, "spawn", NAPI_AUTO_LENGTH, &name) == napi_ok &&
      napi_create_threadsafe_function(env, on_exit, NULL, name, 1, 1, watch, free_watch, watch, tell,
                                      &watch->deliver) == napi_ok) {
    return watch;
  }
  free(watch);
  napi_throw_error(env, NULL, "the end of a guest could not be watched");
  return NULL;
}

static bool start_waiting(struct watch *watch) {
  pthread_t thread;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, 64 * 1024);
  bool started = thread_start(&thread, &attributes, wait_for, watch) == 0;
  pthread_attr_destroy(&attributes);
  return started;
}

static pid_t launch(napi_env env, struct plan *plan, napi_value on_exit) {
  struct watch *watch = prepare_watch(env, on_exit);
  if (!watch) return -1;
  napi_threadsafe_function deliver = watch->deliver;
  watch->pid = start(plan);
  if (watch->pid < 0) {
    util_throw_errno(env, plan->error, plan->failed, strcmp(plan->failed, "chdir") == 0 ? plan->cwd : plan->file);
  } else if (!start_waiting(watch)) {
    kill(watch->pid, SIGKILL);
    waitpid(watch->pid, NULL, 0);
    napi_throw_error(env, NULL, "no thread for the end of a guest");
  } else {
    return watch->pid;
  }
  napi_release_threadsafe_function(deliver, napi_tsfn_abort);
  return -1;
}

napi_value spawn_guest(napi_env env, napi_callback_info info) {
  napi_value arguments[7], result = NULL;
  struct plan plan = {0};
  if (!util_arguments(env, info, arguments, 7, "spawn(file, arguments, environment, cwd, output, errors, onExit)") ||
      !util_path(env, arguments[0], plan.file) || !util_path(env, arguments[3], plan.cwd) ||
      !util_fd(env, arguments[4], &plan.output) || !util_fd(env, arguments[5], &plan.errors)) {
    return NULL;
  }
  plan.arguments = read_strings(env, arguments[1]);
  plan.environment = plan.arguments ? read_strings(env, arguments[2]) : NULL;
  pid_t pid = plan.environment ? launch(env, &plan, arguments[6]) : -1;
  if (pid > 0) napi_create_int32(env, pid, &result);
  free_strings(plan.arguments);
  free_strings(plan.environment);
  return result;
}
