/*
 * corrupt TABLE SEED COUNT: damages copies of a table in COUNT ways and does everything that reads it in each, in a
 * child of its own; every tenth is written over at random while the child reads. Whatever the table says, no child may
 * die, or take longer than a minute. `corrupt - TIMES` is the child.
 */
#include "case.h"
#include <resolv.h>
#include <sys/mman.h>

#include "contract/abi/abi.h"

#define READS 10
#define READY 3

static void read_all(void) {
  static const char *const names[] = {"web", "api", "db.test", "node-2", "nobody", "", "."};
  char host[256];
  /* A damaged table may not know a name. Then libc asks name servers: one that refuses at once. */
  res_init();
  _res.nscount = 1;
  _res.nsaddr_list[0] = at("127.0.0.1", 1);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    struct addrinfo hints = {.ai_flags = AI_CANONNAME, .ai_socktype = SOCK_STREAM, .ai_family = AF_INET}, *list;
    /* The unknown ones must not go out to a resolver. */
    if (i > 3) hints.ai_flags |= AI_NUMERICHOST;
    if (getaddrinfo(names[i], "80", &hints, &list) == 0) freeaddrinfo(list);
  }
  gethostname(host, sizeof host);
  for (int last = 0; last < 6; last++) {
    struct sockaddr_in to = at("100.64.1.0", 80);
    to.sin_addr.s_addr += htonl((uint32_t)last);
    getnameinfo((struct sockaddr *)&to, sizeof to, host, sizeof host, 0, 0,
                NI_NUMERICSERV | (last > 3 ? NI_NUMERICHOST : 0));
    int fd = tcp(SOCK_NONBLOCK);
    connect_to(fd, to);
    close(fd);
  }
  int fd = tcp(0);
  if (bind_to(fd, at("0.0.0.0", 0)) == 0 && listen(fd, 1) == 0) name_of(fd, getsockname);
  close(fd);
  gethostbyname("api");
}

/* The shim has validated the table when main runs: now it may change. */
static int child(int times) {
  alarm(60);
  CHECK(write(READY, "", 1) == 1);
  for (int i = 0; i < times; i++) read_all();
  return 0;
}

/* Words of the whole file, as fast as it goes, until the child has ended. */
static void write_over(const char *path, size_t size, unsigned *seed, pid_t pid, int ready) {
  siginfo_t ended = {0};
  char byte;
  CHECK(read(ready, &byte, 1) == 1);
  int fd = open(path, O_RDWR);
  uint32_t *words = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHECK(fd >= 0 && words != MAP_FAILED);
  while (waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && !ended.si_pid)
    for (int i = 0; i < 1000; i++) {
      size_t at = (size_t)rand_r(seed) % (size / 4);
      __atomic_store_n(&words[at], rand_r(seed) % 3 ? (uint32_t)rand_r(seed) : 0x61616161, __ATOMIC_RELAXED);
    }
  munmap(words, size);
  close(fd);
}

int main(int argc, char **argv) {
  if (argc == 3) return child(atoi(argv[2]));
  if (argc != 4) return 2;
  static unsigned char whole[1 << 20], copy[1 << 20];
  char folder[] = "/tmp/imaginary-corrupt-XXXXXX", path[256], setting[256], self[4096] = "";
  CHECK(mkdtemp(folder));
  snprintf(path, sizeof path, "%s/table", folder);
  snprintf(setting, sizeof setting, "IMAGINARY_DIR=%s", folder);
  CHECK(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
  FILE *file = fopen(argv[1], "r");
  size_t size = fread(whole, 1, sizeof whole, file);
  fclose(file);
  CHECK(size > sizeof(struct im_table_header));
  unsigned seed = (unsigned)atoi(argv[2]);
  char preload[4096], times[16];
  snprintf(times, sizeof times, "%d", READS);
  snprintf(preload, sizeof preload, "LD_PRELOAD=%s", getenv("LD_PRELOAD"));
  for (int round = 0; round < atoi(argv[3]); round++) {
    size_t length = size;
    memcpy(copy, whole, size);
    uint32_t *words = (uint32_t *)(void *)copy;
    bool changing = round % 10 == 9;
    int kind = round % 4;
    if (changing) kind = 9;
    if (kind == 0) length = (size_t)rand_r(&seed) % (size + 1);
    for (int change = 0; change < 1 + round % 5 && kind && !changing; change++) {
      /* The header, whole words at its limits, or anything. */
      size_t at = (size_t)rand_r(&seed) % (kind == 3 ? 4096 : sizeof(struct im_table_header));
      static const uint32_t values[] = {0, 1, 3, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffff0, 128, 1u << 20};
      if (kind == 1)
        copy[at] = (unsigned char)rand_r(&seed);
      else
        words[at / 4] = values[(size_t)rand_r(&seed) % (sizeof values / sizeof *values)];
    }
    FILE *out = fopen(path, "w");
    CHECK(fwrite(copy, 1, length, out) == length);
    fclose(out);
    int ready[2];
    CHECK(pipe2(ready, O_CLOEXEC) == 0);
    pid_t pid = fork();
    if (pid == 0) {
      dup2(ready[1], READY);
      char *arguments[] = {self, "-", changing ? times : "1", 0}, *environment[] = {setting, preload, 0};
      dup2(open("/dev/null", O_WRONLY), 2);
      execve(self, arguments, environment);
      _exit(9);
    }
    int status;
    close(ready[1]);
    if (changing) write_over(path, length, &seed, pid, ready[0]);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0, "round %d of seed %s: status %x", round, argv[2], status);
    close(ready[0]);
  }
  unlink(path);
  rmdir(folder);
  say("ok");
  return 0;
}
