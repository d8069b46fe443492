/*
 * blocking HOST PORT ERRNO: a blocking connect, and what the socket says afterwards; errno is left alone when it works.
 */
#include "case.h"

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  struct sockaddr_in to = resolve(argv[1], atoi(argv[2]));
  int expected = atoi(argv[3]), fd = tcp(0);
  say("pending");
  errno = 77;
  int result = connect_to(fd, to);
  CHECK(result == (expected ? -1 : 0) && errno == (expected ? expected : 77));
  if (expected) {
    CHECK(connect_to(fd, to) == -1 && errno == expected, "a second time");
  } else {
    CHECK(same(name_of(fd, getpeername), to));
    CHECK(errno == 77);
    CHECK(connect_to(fd, to) == -1 && errno == EISCONN);
    ping(fd);
  }
  close(fd);
  say("ok");
  return 0;
}
