/*
 * marks HOST PORT: connections that the supervisor marks in the sockets file are reset or probed at IM_SIGNAL, and all
 * others are left alone.
 */
#include "case.h"

#include "contract/abi/abi.h"

#include <sys/ioctl.h>
#include <sys/mman.h>

static struct sockaddr_in to;
static char *sockets;

static void open_sockets(void) {
  char path[512];
  snprintf(path, sizeof path, "%s/%s", getenv(IM_ENV_DIR), IM_SOCKETS_FILE);
  int fd = open(path, O_RDWR);
  CHECK(fd >= 0);
  sockets = mmap(0, IM_SOCKETS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHECK(sockets != MAP_FAILED);
  close(fd);
}

static struct im_socket_slot *slot_of(int fd) {
  uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  CHECK(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0);
  for (size_t at = 0; at + sizeof(struct im_socket_slot) <= IM_TRAFFIC_OFFSET; at += sizeof(struct im_socket_slot)) {
    struct im_socket_slot *slot = (void *)(sockets + at);
    if (slot->cookie == cookie && slot->flags & IM_SOCKET_HANDOFF) return slot;
  }
  return 0;
}

static void mark(int fd, uint32_t flag) {
  struct im_socket_slot *slot = slot_of(fd);
  CHECK(slot && slot->epoch > 0);
  __atomic_or_fetch(&slot->flags, flag, __ATOMIC_SEQ_CST);
}

static void tell(void) { CHECK(kill(getpid(), IM_SIGNAL) == 0); }

static int connection(void) {
  int fd = tcp(0);
  CHECK(connect_to(fd, to) == 0);
  ping(fd);
  return fd;
}

static int option(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  CHECK(getsockopt(fd, level, name, &value, &size) == 0);
  return value;
}

/* As after a reset by the other side. */
static void is_reset(int fd) {
  struct sockaddr_in peer;
  socklen_t size = sizeof peer;
  char byte;
  CHECK(recv(fd, &byte, 1, 0) == -1 && errno == ECONNRESET);
  CHECK(recv(fd, &byte, 1, 0) == 0);
  CHECK(send(fd, "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
  CHECK(getpeername(fd, (struct sockaddr *)&peer, &size) == -1 && errno == ENOTCONN);
  close(fd);
}

static void *reads(void *argument) {
  char byte;
  int fd = *(int *)argument;
  CHECK(recv(fd, &byte, 1, 0) <= 0);
  return argument;
}

static void without_marks(void) {
  int fd = connection();
  for (int i = 0; i < 3; i++) tell();
  ping(fd);
  close(fd);
}

static void ended(void) {
  int dead = connection(), alive = connection();
  mark(dead, IM_SOCKET_ENDED);
  ping(dead);
  errno = 7;
  tell();
  CHECK(errno == 7);
  is_reset(dead);
  ping(alive);
  close(alive);
}

static void while_waiting(void) {
  int polled = connection(), read = connection();
  struct pollfd wanted = {.fd = polled, .events = POLLIN};
  pthread_t thread;
  CHECK(pthread_create(&thread, 0, reads, &read) == 0);
  mark(polled, IM_SOCKET_ENDED);
  mark(read, IM_SOCKET_ENDED);
  /* A kernel that refuses while a thread waits wakes it, and is asked again: the supervisor repeats itself as well. */
  usleep(50000);
  tell();
  pthread_join(thread, 0);
  CHECK(poll(&wanted, 1, 5000) == 1 && wanted.revents & POLLHUP);
  is_reset(polled);
  close(read);
}

static void what_was_not_read(void) {
  int fd = connection(), unread = 0;
  char text[16] = {0};
  CHECK(send(fd, "last\n", 5, 0) == 5);
  while (unread < 5) CHECK(ioctl(fd, FIONREAD, &unread) == 0);
  mark(fd, IM_SOCKET_ENDED);
  tell();
  CHECK(recv(fd, text, sizeof text, 0) == 5 && !strcmp(text, "last\n"));
  tell();
  is_reset(fd);
}

static void probed(void) {
  int plain = connection(), kept = connection(), on = 1, idle = 77;
  CHECK(setsockopt(kept, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) == 0);
  CHECK(setsockopt(kept, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle) == 0);
  int default_idle = option(plain, IPPROTO_TCP, TCP_KEEPIDLE);
  mark(plain, IM_SOCKET_PROBE);
  mark(kept, IM_SOCKET_PROBE);
  tell();
  CHECK(!(slot_of(plain)->flags & IM_SOCKET_PROBE) && !(slot_of(kept)->flags & IM_SOCKET_PROBE));
  CHECK(option(plain, SOL_SOCKET, SO_KEEPALIVE) == 0 && option(plain, IPPROTO_TCP, TCP_KEEPIDLE) == default_idle);
  CHECK(option(kept, SOL_SOCKET, SO_KEEPALIVE) == 1 && option(kept, IPPROTO_TCP, TCP_KEEPIDLE) == 77);
  ping(plain);
  ping(kept);
  close(plain);
  close(kept);
}

/* More than the shim probes at once: the others keep their marks until the next signal. */
static void many_probed(void) {
  enum { MANY = 300, AT_ONCE = 256 };
  int fds[MANY], left = 0;
  for (int i = 0; i < MANY; i++) fds[i] = connection();
  for (int i = 0; i < MANY; i++) mark(fds[i], IM_SOCKET_PROBE);
  tell();
  for (int i = 0; i < MANY; i++) left += (slot_of(fds[i])->flags & IM_SOCKET_PROBE) != 0;
  CHECK(left == MANY - AT_ONCE);
  tell();
  for (int i = 0; i < MANY; i++) CHECK(!(slot_of(fds[i])->flags & IM_SOCKET_PROBE));
  for (int i = 0; i < MANY; i++) close(fds[i]);
}

static void in_a_child(void) {
  int fd = connection(), status;
  mark(fd, IM_SOCKET_ENDED);
  pid_t child = fork();
  if (child == 0) {
    tell();
    is_reset(fd);
    exit(0);
  }
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  close(fd);
}

/* Handlers run on the alternate stack, where there is one, and with signals of the guest's own around them. */
static void on_a_small_stack(void) {
  static char memory[16384];
  stack_t stack = {.ss_sp = memory, .ss_size = sizeof memory}, none = {.ss_flags = SS_DISABLE};
  CHECK(sigaltstack(&stack, 0) == 0);
  ended();
  CHECK(sigaltstack(&none, 0) == 0);
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  to = resolve(argv[1], atoi(argv[2]));
  open_sockets();
  int descriptors = open_descriptors();
  without_marks();
  ended();
  while_waiting();
  what_was_not_read();
  probed();
  many_probed();
  in_a_child();
  on_a_small_stack();
  wait_until_quiet(descriptors, 1);
  say("ok");
  return 0;
}
