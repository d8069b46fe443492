/* many_pending HOST PORT COUNT ROUNDS: COUNT connects pending at once, ROUNDS times; nothing is left of them. */
#include "case.h"
#include <sys/resource.h>

static long resident_kb(void) {
  long size, resident;
  FILE *file = fopen("/proc/self/statm", "r");
  CHECK(fscanf(file, "%ld %ld", &size, &resident) == 2);
  fclose(file);
  return resident * 4;
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  struct sockaddr_in to = resolve(argv[1], atoi(argv[2]));
  int count = atoi(argv[3]), rounds = atoi(argv[4]), set = epoll_create1(EPOLL_CLOEXEC),
      descriptors = open_descriptors();
  long resident = 0;
  for (int round = 0; round < rounds; round++) {
    for (int i = 0; i < count; i++) {
      int fd = connecting(to);
      struct epoll_event event = {.events = EPOLLOUT | EPOLLET, .data.fd = fd};
      CHECK(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0);
    }
    say("pending");
    for (int done = 0; done < count;) {
      struct epoll_event events[64];
      int got = epoll_wait(set, events, 64, 30000);
      CHECK(got > 0, "%d of %d", done, count);
      for (int i = 0; i < got; i++) {
        CHECK(so_error(events[i].data.fd) == 0);
        CHECK(same(name_of(events[i].data.fd, getpeername), to));
        close(events[i].data.fd);
        done++;
      }
    }
    wait_until_quiet(descriptors, 1);
    if (round == 1) resident = resident_kb();
    if (rounds > 5 && round > 1) CHECK(resident_kb() < resident + 512, "%ld KB, then %ld KB", resident, resident_kb());
  }
  say("ok");
  return 0;
}
