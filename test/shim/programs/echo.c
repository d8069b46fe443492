/* echo ADDRESS PORT: answers what it gets; prints `listening` and the address it believes to listen at. */
#include "case.h"

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  struct pollfd all[1024];
  char text[64];
  int count = 1, on = 1;
  signal(SIGPIPE, SIG_IGN);
  int listener = tcp(SOCK_CLOEXEC);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  CHECK(bind_to(listener, at(argv[1], atoi(argv[2]))) == 0);
  CHECK(listen(listener, 1024) == 0);
  struct sockaddr_in name = name_of(listener, getsockname);
  printf("listening %s\n", show(&name, text));
  fflush(stdout);
  all[0] = (struct pollfd){.fd = listener, .events = POLLIN};
  for (;;) {
    CHECK(poll(all, (nfds_t)count, -1) > 0);
    for (int i = count - 1; i > 0; i--) {
      char data[4096];
      if (!all[i].revents) continue;
      ssize_t size = recv(all[i].fd, data, sizeof data, 0);
      if (size > 0 && send(all[i].fd, data, (size_t)size, MSG_NOSIGNAL) == size) continue;
      close(all[i].fd);
      all[i] = all[--count];
    }
    if (all[0].revents && count < 1024) {
      int fd = accept4(listener, 0, 0, SOCK_CLOEXEC);
      if (fd >= 0) all[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
    }
  }
}
