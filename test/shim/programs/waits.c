/* waits HOST PORT: one connect that waits, for a first look. */
#include "case.h"

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  int fd = connecting(resolve(argv[1], atoi(argv[2])));
  wait_for(fd, POLLOUT);
  CHECK(so_error(fd) == 0);
  ping(fd);
  say("ok");
  return 0;
}
