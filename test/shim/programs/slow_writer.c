/* slow_writer TABLE: whoever writes the table is preempted in the middle of it. Readers wait, and see what it says. */
#include "case.h"

#include "contract/abi/abi.h"

#include <sys/mman.h>
#include <sys/wait.h>

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  int file = open(argv[1], O_RDWR | O_CLOEXEC), ready[2], on = 1;
  CHECK(file >= 0 && pipe(ready) == 0);
  struct im_table_header *header = mmap(0, sizeof *header, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  CHECK(header != MAP_FAILED);

  /* A port that really is another one: only the table knows it. */
  int listener = tcp(0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  CHECK(bind_to(listener, at("127.0.0.1", 709)) == 0 && listen(listener, 4) == 0);

  pid_t writer = fork();
  if (writer == 0) {
    struct timespec preempted = {.tv_nsec = 20000000};
    __atomic_fetch_add(&header->seq, 1, __ATOMIC_SEQ_CST);
    bool told = write(ready[1], "", 1) == 1;
    nanosleep(&preempted, 0);
    __atomic_fetch_add(&header->seq, 1, __ATOMIC_SEQ_CST);
    _exit(told ? 0 : 1);
  }
  char byte;
  int status;
  CHECK(writer > 0 && read(ready[0], &byte, 1) == 1);
  int client = tcp(0);
  CHECK(connect_to(client, at("127.0.0.1", 709)) == 0);
  CHECK(waitpid(writer, &status, 0) == writer && status == 0);
  say("ok");
  return 0;
}
