#define _GNU_SOURCE
#include "forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define TARGETS_MOST 64
#define RESERVED 64 /* descriptors of our own, and of connects that wait */
/* A connection has two sockets, and at worst two pipes. */
#define DESCRIPTORS_OF_LINK 6

static size_t number(const char *text, size_t most) {
  char *end = NULL;
  unsigned long value = strtoul(text, &end, 10);
  return *text >= '0' && *text <= '9' && *end == 0 && value <= most ? value : 0;
}

static bool read_target(char *text, struct im_target *target) {
  const char *listener = strtok(text, ":"), *address = strtok(NULL, ":"), *port = strtok(NULL, ":");
  if (!listener || !address || !port || strtok(NULL, ":")) return false;
  target->listener = (int)number(listener, 65535);
  target->to.sin_family = AF_INET;
  target->to.sin_port = htons((uint16_t)number(port, 65535));
  if (target->listener < 3 || target->to.sin_port == 0 || inet_pton(AF_INET, address, &target->to.sin_addr) != 1)
    return false;
  int status = fcntl(target->listener, F_GETFL);
  return status >= 0 && fcntl(target->listener, F_SETFL, status | O_NONBLOCK) == 0;
}

/* How many connections there are descriptors for. */
static size_t room(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0 && getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1;
  if (limit.rlim_cur == RLIM_INFINITY) return SIZE_MAX;
  return limit.rlim_cur > RESERVED + DESCRIPTORS_OF_LINK ? (limit.rlim_cur - RESERVED) / DESCRIPTORS_OF_LINK : 1;
}

/* Its end is the command's, however the process that started this one has ended. */
static void until_input_ends(void) {
  char bytes[64];
  for (;;) {
    ssize_t got = read(STDIN_FILENO, bytes, sizeof bytes);
    if (got == 0 || (got < 0 && errno != EINTR)) return;
  }
}

int main(int argc, char **argv) {
  static struct im_target targets[TARGETS_MOST];
  struct im_forward forward = {.targets = targets, .target_count = argc - 2};
  forward.most = argc > 2 ? number(argv[1], 1000000) : 0;
  bool good = forward.most > 0 && forward.target_count <= TARGETS_MOST;
  for (int i = 0; good && i < forward.target_count; i++) {
    targets[i].index = i;
    good = read_target(argv[i + 2], &targets[i]);
  }
  if (!good) {
    fprintf(stderr, "usage: forward MOST LISTENER:ADDRESS:PORT…\n");
    return 2;
  }
  size_t descriptors = room();
  if (forward.most > descriptors) forward.most = descriptors;
  /* A terminal sends it to us as well; the end of the input follows. */
  signal(SIGINT, SIG_IGN);
  signal(SIGPIPE, SIG_IGN); /* splice(2) knows no MSG_NOSIGNAL */
  const char *syscall = "";
  int error = forward_start(&forward, &syscall);
  if (error) {
    fprintf(stderr, "forward: %s: %s\n", syscall, strerror(error));
    return 1;
  }
  until_input_ends();
  forward_stop(&forward);
  return 0;
}
