/*
 * connects DIRECT PORT ASKED PORT COUNT: about COUNT connects of every kind by four threads: blocking, non-blocking,
 * watched by epoll, duplicated, refused, by children; now and then one that waits for the supervisor, or is closed
 * while it waits. A tenth of them first; then nothing may be more than it was before: descriptors, threads, allocated
 * and mapped memory.
 */
#include "case.h"
#include <malloc.h>
#include <sys/mman.h>

#include "contract/abi/abi.h"

#define THREADS 4
/*
 * libc keeps some ended threads' stacks, and a few hundred bytes for each (ten more of them were seen), and how many of
 * the helper's threads it happens to have depends on how they came after each other. Far less than a byte for each
 * connect.
 */
#define FEW_THREADS 8192
#define FEW_STACKS_KB 1024

static struct sockaddr_in direct, asked, nobody;
static long each;
static _Atomic long connected, refused, waited, given_up;

/* With a reset: so many connections would fill the port range with ones in TIME_WAIT. */
static void hang_up(int fd) {
  struct linger none = {1, 0};
  CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none) == 0);
  CHECK(close(fd) == 0);
}

static void blocks(struct sockaddr_in to) {
  int fd = tcp(SOCK_CLOEXEC);
  CHECK(connect_to(fd, to) == 0);
  connected++;
  hang_up(fd);
}

static void is_watched(int set, struct sockaddr_in to) {
  int fd = tcp(SOCK_NONBLOCK | SOCK_CLOEXEC), count;
  struct epoll_event event = {.events = EPOLLOUT, .data.fd = fd}, got;
  CHECK(connect_to(fd, to) == 0 || errno == EINPROGRESS);
  CHECK(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0);
  while ((count = epoll_wait(set, &got, 1, 30000)) == -1 && errno == EINTR) continue;
  CHECK(count == 1 && got.data.fd == fd && so_error(fd) == 0, "%d: %d, not %d: %x", count, got.data.fd, fd, got.events);
  connected++;
  /* A child of another thread may have the socket still: closing it alone would leave it in the set. */
  CHECK(epoll_ctl(set, EPOLL_CTL_DEL, fd, 0) == 0);
  hang_up(fd);
}

static void is_duplicated(void) {
  int fd = tcp(SOCK_CLOEXEC), other = dup(fd);
  CHECK(connect_to(other, direct) == 0);
  CHECK(same(name_of(fd, getpeername), direct));
  connected++;
  hang_up(fd);
  close(other);
}

static void is_refused(void) {
  int fd = tcp(SOCK_CLOEXEC);
  CHECK(connect_to(fd, nobody) == -1 && errno == ECONNREFUSED);
  refused++;
  close(fd);
}

static void is_given_up(void) {
  int fd = tcp(SOCK_NONBLOCK | SOCK_CLOEXEC);
  CHECK(connect_to(fd, asked) == 0 || errno == EINPROGRESS);
  given_up++;
  hang_up(fd);
}

static void in_a_child(void) {
  int status;
  pid_t pid = fork();
  if (pid == 0) {
    blocks(direct);
    _exit(0);
  }
  CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0, "%x", status);
}

static void *connects(void *argument) {
  long shift = (long)(intptr_t)argument;
  int set = epoll_create1(EPOLL_CLOEXEC);
  for (long i = shift; i < each + shift; i++) {
    if (i % 4096 == 0)
      in_a_child();
    else if (i % 128 == 1)
      is_watched(set, asked), waited++;
    else if (i % 256 == 2)
      blocks(asked), waited++;
    else if (i % 256 == 3)
      is_given_up();
    else if (i % 10 == 4)
      is_duplicated();
    else if (i % 10 == 5)
      is_refused();
    else if (i % 10 < 4)
      is_watched(set, direct);
    else
      blocks(direct);
  }
  close(set);
  return 0;
}

static void all(long count) {
  pthread_t threads[THREADS];
  each = count / THREADS;
  for (int i = 0; i < THREADS; i++) CHECK(pthread_create(&threads[i], 0, connects, (void *)(intptr_t)(i * 1000)) == 0);
  for (int i = 0; i < THREADS; i++) CHECK(pthread_join(threads[i], 0) == 0);
}

struct use {
  int descriptors;
  long allocated, mapped_kb, resident_kb;
};

static struct use use_now(void) {
  struct use use = {.descriptors = open_descriptors()};
  long mapped, resident;
  FILE *file = fopen("/proc/self/statm", "r");
  CHECK(file && fscanf(file, "%ld %ld", &mapped, &resident) == 2);
  fclose(file);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored \
    "-Wdeprecated-declarations" /* its successor is younger than the libc that this is built for */
  use.allocated = mallinfo().uordblks;
#pragma GCC diagnostic pop
  use.mapped_kb = mapped * (sysconf(_SC_PAGESIZE) / 1024);
  use.resident_kb = resident * (sysconf(_SC_PAGESIZE) / 1024);
  return use;
}

/*
 * No slot of the file that all guests share was left half-written: 32 bytes each, the first word odd while it is
 * written.
 */
static void check_sockets_file(void) {
  char path[4096];
  snprintf(path, sizeof path, "%s/" IM_SOCKETS_FILE, getenv(IM_ENV_DIR));
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  const uint32_t *words = mmap(0, IM_SOCKETS_SIZE, PROT_READ, MAP_SHARED, fd, 0);
  CHECK(fd >= 0 && words != MAP_FAILED);
  for (size_t at = 0; at < IM_TRAFFIC_OFFSET / 4; at += 8) CHECK(words[at] % 2 == 0, "slot %zu", at / 8);
  munmap((void *)(uintptr_t)words, IM_SOCKETS_SIZE);
  close(fd);
}

int main(int argc, char **argv) {
  if (argc != 6) return 2;
  /* One arena: mallinfo counts the memory of every thread, and a further thread maps no 64 MB of its own. */
  CHECK(mallopt(M_ARENA_MAX, 1) == 1);
  long count = atol(argv[5]);
  direct = resolve(argv[1], atoi(argv[2]));
  asked = resolve(argv[3], atoi(argv[4]));
  nobody = at("127.0.0.1", 1);
  int descriptors = open_descriptors();
  all(count / 10);
  wait_until_quiet(descriptors, 1);
  struct use before = use_now();
  connected = refused = waited = given_up = 0;
  all(count - count / 10);
  wait_until_quiet(descriptors, 1);
  struct use after = use_now();
  CHECK(after.descriptors == before.descriptors, "%d, %d", before.descriptors, after.descriptors);
  CHECK(after.allocated <= before.allocated + FEW_THREADS, "%ld bytes, %ld bytes", before.allocated, after.allocated);
  CHECK(after.mapped_kb <= before.mapped_kb + FEW_STACKS_KB, "%ld KB, %ld KB", before.mapped_kb, after.mapped_kb);
  CHECK(after.resident_kb <= before.resident_kb + 256, "%ld KB, %ld KB", before.resident_kb, after.resident_kb);
  check_sockets_file();
  printf("%ld connected, of these %ld waited; %ld refused, %ld given up\n", connected, waited, refused, given_up);
  say("ok");
  return 0;
}
