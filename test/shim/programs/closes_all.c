/* closes_all HOST PORT: a program that closes every descriptor it does not know while a connect is pending. */
#include "case.h"
#include <sys/syscall.h>

static void close_from(int first) {
#ifdef SYS_close_range
  if (syscall(SYS_close_range, first, ~0u, 0) == 0) return;
#endif
  for (int fd = first; fd < 20000; fd++) close(fd);
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  struct sockaddr_in to = resolve(argv[1], atoi(argv[2]));
  for (int round = 0; round < 3; round++) {
    int fd = connecting(to), low = dup2(connecting(to), 2000);
    CHECK(low == 2000);
    close_from(fd);
    /* Everything that opens now may get the numbers that the helper knew. */
    int files[64];
    for (int i = 0; i < 64; i++) files[i] = open("/dev/null", O_RDONLY);
    for (int i = 0; i < 64; i++) CHECK(fcntl(files[i], F_GETFD) >= 0);
    int again = connecting(to);
    for (int i = 0; i < 64; i++) CHECK(fcntl(files[i], F_GETFD) >= 0 && close(files[i]) == 0);
    say("pending");
    ping(again);
    close(again);
  }
  say("ok");
  return 0;
}
