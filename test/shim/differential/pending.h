/* Connects to a host that is not up: natively to a server whose port drops what arrives. */
#ifndef IMAGINARY_DIFFERENTIAL_PENDING_H
#define IMAGINARY_DIFFERENTIAL_PENDING_H

#include "differential.h"

static inline int starts(int flags) {
  order("hold");
  int fd = tcp(SOCK_NONBLOCK | flags);
  connects(fd, SERVER);
  return fd;
}

static inline void connected(int fd) {
  until(fd);
  so_error(fd);
  remote(fd);
  ping(fd);
}

static volatile sig_atomic_t signals;
static inline void on_signal(int number) {
  (void)number;
  signals++;
}

static inline void alarm_with(int flags) {
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};
  struct itimerval timer = {.it_value = {0, 50000}};
  sigaction(SIGALRM, &action, 0);
  setitimer(ITIMER_REAL, &timer, 0);
}

#endif
