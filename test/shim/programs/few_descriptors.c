/*
 * few_descriptors HOST PORT WAY [inherited]: opens sockets until there are no more, then connects each to an echo
 * server. WAY: block, poll (all at once, without blocking), or turn (one after the other, without blocking).
 */
#include "case.h"

#include <sys/resource.h>

#define LIMIT 24
#define MOST 4096

static void limits_are(rlim_t soft, rlim_t hard) {
  struct rlimit now, also;
  CHECK(getrlimit(RLIMIT_NOFILE, &now) == 0 && prlimit(0, RLIMIT_NOFILE, 0, &also) == 0);
  CHECK(now.rlim_cur == soft && now.rlim_max == hard, "%lu %lu", (unsigned long)now.rlim_cur,
        (unsigned long)now.rlim_max);
  CHECK(also.rlim_cur == soft && also.rlim_max == hard);
  CHECK(getdtablesize() == (int)soft && sysconf(_SC_OPEN_MAX) == (long)soft);
}

static void connected(int fd, int index) {
  int error = so_error(fd);
  CHECK(error == 0, "socket %d: %s", index, strerror(error));
  ping(fd);
}

int main(int count, char **words) {
  CHECK(count >= 4);
  struct sockaddr_in to = resolve(words[1], atoi(words[2]));
  bool blocks = !strcmp(words[3], "block"), at_once = !strcmp(words[3], "poll"), inherited = count > 4;
  struct rlimit few = {LIMIT, LIMIT}, more = {LIMIT + 1, LIMIT};
  if (!inherited) {
    CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
    CHECK(setrlimit(RLIMIT_NOFILE, &more) == -1 && errno == EINVAL);
    limits_are(LIMIT, LIMIT);
  }
  int sockets[MOST], open = 0, datagrams = socket(AF_INET, SOCK_DGRAM, 0);
  CHECK(datagrams >= 0);
  while (open < MOST && (sockets[open] = socket(AF_INET, SOCK_STREAM | (blocks ? 0 : SOCK_NONBLOCK), 0)) >= 0) open++;
  CHECK(errno == EMFILE, "%d sockets", open);
  CHECK(inherited || sockets[open - 1] == LIMIT - 1, "%d", sockets[open - 1]);
  CHECK(sendto(datagrams, "x", 1, 0, (struct sockaddr *)&to, sizeof to) == 1);
  for (int i = 0; i < open; i++) {
    int result = connect_to(sockets[i], to);
    CHECK(result == 0 || (!blocks && errno == EINPROGRESS), "socket %d of %d", i, open);
    if (at_once) continue;
    wait_for(sockets[i], POLLOUT);
    connected(sockets[i], i);
    CHECK(socket(AF_INET, SOCK_STREAM, 0) == -1 && errno == EMFILE);
    if (!inherited) limits_are(LIMIT, LIMIT);
  }
  for (int i = 0; i < open; i++) {
    if (at_once) wait_for(sockets[i], POLLOUT);
    connected(sockets[i], i);
  }
  CHECK(dup(0) == -1 && errno == EMFILE);
  for (int i = 0; i < open; i++) close(sockets[i]);
  return 0;
}
