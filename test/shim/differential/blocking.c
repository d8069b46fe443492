/* A host that is not up: calls that wait, limits of time, signals, bound and mapped sockets. */
#include "pending.h"

static void refused_blocking(void) {
  order("hold");
  order("refuse");
  int fd = tcp(0);
  connects(fd, SERVER);
  so_error(fd);
}

static void expired_blocking(void) {
  order("hold");
  int fd = tcp(0);
  set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 300);
  order("expire");
  connects(fd, SERVER);
  so_error(fd);
}

static void *goes_soon(void *argument) {
  sleep_ms(80);
  order(argument);
  return 0;
}

static void soon(const char *what) {
  pthread_t thread;
  NEED(pthread_create(&thread, 0, goes_soon, (void *)(uintptr_t)what) == 0);
  pthread_detach(thread);
}

static void blocking(void) {
  order("hold");
  int fd = tcp(0);
  soon("go");
  connects(fd, SERVER);
  local(fd);
  remote(fd);
  ping(fd);
}

static void blocking_refused(void) {
  order("hold");
  int fd = tcp(0);
  soon("refuse");
  connects(fd, SERVER);
  so_error(fd);
}

static void time_limit(int option_set) {
  order("hold");
  int fd = tcp(0);
  struct timeval limit = {0, 50000};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  connects(fd, SERVER);
  connects(fd, SERVER);
  say("nonblock %d", !!(fcntl(fd, F_GETFL) & O_NONBLOCK));
  if (option_set) so_error(fd);
  order("go");
  until(fd);
  so_error(fd);
  ping(fd);
}
static void send_timeout(void) { time_limit(0); }
static void send_timeout_so_error(void) { time_limit(1); }

static void interrupted(void) {
  order("hold");
  int fd = tcp(0);
  alarm_with(0);
  connects(fd, SERVER);
  say("signals %d", (int)signals);
  order("go");
  until(fd);
  so_error(fd);
  connects(fd, SERVER);
  ping(fd);
}

static void interrupted_then_again(void) {
  order("hold");
  int fd = tcp(0);
  alarm_with(0);
  connects(fd, SERVER);
  soon("go");
  connects(fd, SERVER);
  connects(fd, SERVER);
  ping(fd);
}

static void interrupted_then_again_refused(void) {
  order("hold");
  int fd = tcp(0);
  alarm_with(0);
  connects(fd, SERVER);
  soon("refuse");
  connects(fd, SERVER);
  so_error(fd);
}

static void interrupted_then_refused(void) {
  order("hold");
  int fd = tcp(0);
  alarm_with(0);
  connects(fd, SERVER);
  order("refuse");
  until(fd);
  so_error(fd);
}

static void *takes_no_signals(void *argument) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, 0);
  while (!signals) sleep_ms(5);
  order("go");
  return argument;
}

static void restarted(void) {
  order("hold");
  int fd = tcp(0);
  pthread_t thread;
  NEED(pthread_create(&thread, 0, takes_no_signals, 0) == 0);
  alarm_with(SA_RESTART);
  connects(fd, SERVER);
  say("signals %d", (int)signals);
  ping(fd);
  pthread_join(thread, 0);
}

static void bound(void) {
  order("hold");
  int fd = tcp(SOCK_NONBLOCK);
  binds(fd, at(self_ip, port + 2));
  connects(fd, SERVER);
  local(fd);
  order("go");
  connected(fd);
  local(fd);
}

static void bound_refused(void) {
  order("hold");
  int fd = tcp(SOCK_NONBLOCK);
  binds(fd, at(self_ip, port + 3));
  connects(fd, SERVER);
  order("refuse");
  until(fd);
  so_error(fd);
  local(fd);
}

static void mapped_pending(void) {
  order("hold");
  int fd = tcp6(SOCK_NONBLOCK);
  result("connect", raw_connect6(fd, mapped(peer_ip, port)));
  result("connect", raw_connect6(fd, mapped(peer_ip, port)));
  order("go");
  connected(fd);
  local(fd);
}

static void mapped_refused(void) {
  order("hold");
  int fd = tcp6(SOCK_NONBLOCK);
  result("connect", raw_connect6(fd, mapped(peer_ip, port)));
  order("refuse");
  until(fd);
  so_error(fd);
}

static void mapped_blocking(void) {
  order("hold");
  int fd = tcp6(0);
  soon("go");
  result("connect", raw_connect6(fd, mapped(peer_ip, port)));
  remote(fd);
  ping(fd);
}

static void blocking_two_threads_same_socket(void) {
  order("hold");
  int fd = tcp(0);
  soon("go");
  connects(fd, SERVER);
  connects(fd, SERVER);
  ping(fd);
}

static const struct one cases[] = {
    {"refused, blocking", refused_blocking},
    {"timed out, blocking", expired_blocking},
    {"blocking", blocking},
    {"blocking, refused while it waits", blocking_refused},
    {"SO_SNDTIMEO", send_timeout},
    {"SO_SNDTIMEO, SO_ERROR meanwhile", send_timeout_so_error},
    {"EINTR", interrupted},
    {"EINTR, then refused", interrupted_then_refused},
    {"EINTR, then connect again waits", interrupted_then_again},
    {"EINTR, then connect again is refused", interrupted_then_again_refused},
    {"SA_RESTART", restarted},
    {"bound", bound},
    {"bound, refused", bound_refused},
    {"mapped", mapped_pending},
    {"mapped, refused", mapped_refused},
    {"mapped, blocking", mapped_blocking},
    {"blocking, then again", blocking_two_threads_same_socket},
};

MAIN(cases)
