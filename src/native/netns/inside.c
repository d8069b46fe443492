#define _GNU_SOURCE
#include "netns.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>

struct job {
  const struct im_space *space;
  bool (*run)(void *);
  void *argument;
  bool ok;
};

static void *run_job(void *data) {
  struct job *job = data;
  bool there = !job->space || setns(job->space->fd, CLONE_NEWNET) == 0 || fail(errno, "setns");
  job->ok = there && job->run(job->argument);
  return NULL;
}

bool inside_run(const struct im_space *space, bool (*run)(void *), void *argument) {
  struct job job = {space, run, argument, false};
  pthread_t thread;
  int error = pthread_create(&thread, NULL, run_job, &job);
  if (error) return fail(error, "thread");
  pthread_join(thread, NULL);
  return job.ok;
}
