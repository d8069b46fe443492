/*
 * marked DIRECTORY: a guest that takes marks off its connections as fast as the supervisor sets them, until its input
 * ends. Prints `ready`, then how often it found a connection not noted, and how many marks it has taken off.
 */
#include "core/sockets.c"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS 4u

/* The shim's, which has hooks around them. */
int libc_open(const char *path, int flags, mode_t mode) { return open(path, flags, mode); }
int libc_close(int fd) { return close(fd); }
int libc_getsockopt(int fd, int level, int name, void *value, socklen_t *size) {
  return getsockopt(fd, level, name, value, size);
}

int main(int count, char **arguments) {
  struct pollfd input = {.fd = 0, .events = POLLIN};
  unsigned long missed = 0, cleared = 0;
  if (count != 2) return 2;
  sockets_open(arguments[1]);
  for (uint64_t cookie = 1; cookie <= CONNECTIONS; cookie++) {
    struct im_socket socket = {.flags = IM_IS_HANDOFF | IM_HAS_PEER, .peer = {.ip = 5}, .epoch = cookie};
    sockets_put(cookie, &socket);
  }
  puts("ready");
  fflush(stdout);
  while (poll(&input, 1, 0) == 0)
    for (int turn = 0; turn < 1000; turn++)
      for (uint64_t cookie = 1; cookie <= CONNECTIONS; cookie++) {
        struct im_socket socket;
        if (!sockets_get(cookie, &socket) || socket.epoch != cookie) {
          missed++;
          continue;
        }
        if (!(socket.flags & IM_WANTS_PROBE)) continue;
        sockets_clear(cookie, IM_WANTS_PROBE);
        cleared++;
      }
  printf("%lu %lu\n", missed, cleared);
  return 0;
}
