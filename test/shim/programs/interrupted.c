/* interrupted HOST PORT: a blocking connect that a signal or SO_SNDTIMEO ends, then goes on by itself. */
#include "case.h"

static struct sockaddr_in to;
static volatile sig_atomic_t signals;

static void on_signal(int number) {
  (void)number;
  signals++;
}

static void alarm_in(int milliseconds, int flags) {
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};
  struct itimerval timer = {.it_value = {0, milliseconds * 1000}};
  sigaction(SIGALRM, &action, 0);
  setitimer(ITIMER_REAL, &timer, 0);
}

static void *restarted(void *argument) {
  int fd = tcp(0);
  CHECK(connect_to(fd, to) == 0);
  ping(fd);
  close(fd);
  return argument;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  to = resolve(argv[1], atoi(argv[2]));
  int descriptors = open_descriptors(), interrupted = tcp(0), late = tcp(0);
  alarm_in(50, 0);
  CHECK(connect_to(interrupted, to) == -1 && errno == EINTR);
  struct timeval limit = {0, 50000};
  CHECK(setsockopt(late, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0);
  CHECK(connect_to(late, to) == -1 && errno == EINPROGRESS);
  CHECK(connect_to(late, to) == -1 && errno == EALREADY);
  /* With SA_RESTART the call goes on; other threads do not take the signal. */
  sigset_t alarms;
  sigemptyset(&alarms);
  sigaddset(&alarms, SIGALRM);
  pthread_t thread;
  CHECK(pthread_create(&thread, 0, restarted, 0) == 0);
  pthread_sigmask(SIG_BLOCK, &alarms, 0);
  alarm_in(50, SA_RESTART);
  while (signals < 2) usleep(1000);
  say("pending");
  pthread_join(thread, 0);
  wait_for(interrupted, POLLOUT);
  CHECK(so_error(interrupted) == 0 && !(fcntl(interrupted, F_GETFL) & O_NONBLOCK));
  ping(interrupted);
  ping(late);
  close(interrupted);
  close(late);
  wait_until_quiet(descriptors, 1);
  say("ok");
  return 0;
}
