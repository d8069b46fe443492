/* The passive side: accepting. */
#include "passive.h"

#include <sys/resource.h>

static int shared_listener(int number) {
  int fd = tcp(SOCK_NONBLOCK);
  set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  binds(fd, at(ANY, number));
  result("listen", listen(fd, 16));
  return fd;
}

static void nothing_waits(void) {
  int fd = listens(at(ANY, port + 1), 4, SOCK_NONBLOCK);
  result("accept", accept(fd, 0, 0));
  result("accept4", accept4(fd, 0, 0, SOCK_CLOEXEC));
  quiet(fd, POLLIN);
  ask_for_connections(port + 1, 1);
  polls(fd, POLLIN, LIMIT_MS);
}

static void accept_without_name(void) {
  int fd = listens(at(ANY, port + 1), 4, 0);
  ask_for_connections(port + 1, 1);
  int got = accept(fd, 0, 0);
  result("accept", got);
  remote(got);
  reads(got);
}

static void accept_short_name(void) {
  int fd = listens(at(ANY, port + 1), 4, 0);
  unsigned char name[16];
  socklen_t size = 3;
  memset(name, 0xee, sizeof name);
  ask_for_connections(port + 1, 1);
  result("accept", accept(fd, (struct sockaddr *)name, &size));
  say("size %u family %d rest %x", size, name[0], name[4]);
}

static void accept_bad_size(void) {
  int fd = listens(at(ANY, port + 1), 4, SOCK_NONBLOCK);
  struct sockaddr_in from;
  socklen_t size = (socklen_t)-1;
  ask_for_connections(port + 1, 1);
  polls(fd, POLLIN, LIMIT_MS);
  result("accept", accept(fd, (struct sockaddr *)&from, &size));
  result("accept", accept(fd, 0, 0));
}

static void accept_flags(void) {
  int fd = listens(at(ANY, port + 1), 4, SOCK_NONBLOCK);
  ask_for_connections(port + 1, 2);
  polls(fd, POLLIN, LIMIT_MS);
  int got = accept4(fd, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
  say("cloexec %d nonblock %d", fcntl(got, F_GETFD) == FD_CLOEXEC, !!(fcntl(got, F_GETFL) & O_NONBLOCK));
  polls(fd, POLLIN, LIMIT_MS);
  got = accept(fd, 0, 0);
  say("cloexec %d nonblock %d", fcntl(got, F_GETFD) == FD_CLOEXEC, !!(fcntl(got, F_GETFL) & O_NONBLOCK));
  result("accept4", accept4(fd, 0, 0, 0x12345678));
}

static void accept_bad(void) {
  int fd = tcp(0), pair[2];
  NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  result("accept", accept(fd, 0, 0));
  result("accept", accept(-1, 0, 0));
  result("accept", accept(pair[0], 0, 0));
  result("accept", accept(open("/dev/null", O_RDWR), 0, 0));
}

static void reuse_port(void) {
  int first = shared_listener(port + 1), second = shared_listener(port + 1), third = tcp(0), got = 0;
  binds(third, at(ANY, port + 1));
  ask_for_connections(port + 1, 20);
  sleep_ms(50);
  for (int fd; (fd = accept(first, 0, 0)) >= 0 || (fd = accept(second, 0, 0)) >= 0; got++) close(fd);
  say("accepted %d", got);
}

static void reuse_port_closed(void) {
  int first = shared_listener(port + 1), second = shared_listener(port + 1), got = 0;
  result("close", close(first));
  ask_for_connections(port + 1, 5);
  sleep_ms(50);
  for (int fd; (fd = accept(second, 0, 0)) >= 0; got++) close(fd);
  say("accepted %d", got);
}

static void workers(void) {
  int fd = listens(at(ANY, port + 1), 64, 0), ends[2], total = 0;
  pid_t children[3];
  NEED(pipe(ends) == 0);
  for (int i = 0; i < 3; i++)
    if ((children[i] = fork()) == 0) {
      for (int got; (got = accept(fd, 0, 0)) >= 0;) NEED(write(ends[1], "x", 1) == 1);
      _exit(0);
    }
  ask_for_connections(port + 1, 30);
  for (char byte; total < 30 && read(ends[0], &byte, 1) == 1;) total++;
  say("accepted %d", total);
  for (int i = 0; i < 3; i++) {
    kill(children[i], SIGTERM);
    child_ends(children[i]);
  }
}

static void passed_over_a_socket(void) {
  int fd = listens(at(ANY, port + 1), 4, 0), pair[2];
  NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  pid_t child = fork();
  if (child == 0) {
    char byte, control[CMSG_SPACE(sizeof(int))];
    struct iovec text = {&byte, 1};
    struct msghdr all = {.msg_iov = &text, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    close(fd);
    NEED(recvmsg(pair[1], &all, 0) == 1);
    int mine;
    memcpy(&mine, CMSG_DATA(CMSG_FIRSTHDR(&all)), sizeof mine);
    local(mine);
    reads(accepts(mine));
    _exit(0);
  }
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(int))];
  } control = {.header = {.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
  memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
  struct iovec text = {"x", 1};
  struct msghdr all = {
      .msg_iov = &text, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.space};
  ask_for_connections(port + 1, 1);
  NEED(sendmsg(pair[0], &all, 0) == 1);
  close(fd);
  child_ends(child);
}

static void inherited_over_exec(void) {
  int fd = listens(at(ANY, port + 1), 4, 0);
  char number[16], port_text[16];
  NEED(dup2(fd, 50) == 50);
  snprintf(number, sizeof number, "%d", port + 1);
  snprintf(port_text, sizeof port_text, "%d", port);
  ask_for_connections(port + 1, 1);
  pid_t child = fork();
  if (child == 0) {
    execl(program_path, program_path, "accepts at 50", native ? "native" : "shim", self_text, peer_text, port_text,
          NULL);
    _exit(9);
  }
  close(fd);
  close(50);
  child_ends(child);
}

static void accepts_at_50(void) {
  local(50);
  reads(accepts(50));
}

static void *accepts_blocking(void *argument) {
  int got = accept(*(int *)argument, 0, 0);
  return (void *)(intptr_t)(got >= 0);
}

static void blocking_and_not(void) {
  int fd = listens(at(ANY, port + 1), 16, 0), got = 0;
  pthread_t threads[2];
  void *value;
  for (int i = 0; i < 2; i++) pthread_create(&threads[i], 0, accepts_blocking, &fd);
  ask_for_connections(port + 1, 2);
  for (int i = 0; i < 2; i++) {
    pthread_join(threads[i], &value);
    got += value != 0;
  }
  say("accepted %d", got);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  result("accept", accept(fd, 0, 0));
}

static void epoll_accept(void) {
  int fd = listens(at(ANY, port + 1), 16, SOCK_NONBLOCK), set = epoll_with(fd, EPOLLIN | EPOLLET);
  epolls(set, QUIET_MS);
  ask_for_connections(port + 1, 1);
  epolls(set, LIMIT_MS);
  epolls(set, QUIET_MS);
  accepts(fd);
}

static void close_while_waiting(void) {
  int fd = listens(at(ANY, port + 1), 16, 0), client = tcp(0);
  connects(client, at(self_ip, port + 1));
  result("close", close(fd));
  reads(client);
  connects(tcp(0), at(self_ip, port + 1));
  int again = tcp(0);
  set_option(again, SOL_SOCKET, SO_REUSEADDR, 1);
  binds(again, at(ANY, port + 1));
}

static void shutdown_of_listener(void) {
  int fd = listens(at(ANY, port + 1), 16, 0);
  result("shutdown", shutdown(fd, SHUT_RDWR));
  result("accept", accept(fd, 0, 0));
  connects(tcp(0), at(self_ip, port + 1));
  result("listen", listen(fd, 4));
  connects(tcp(0), at(self_ip, port + 1));
}

static void full_backlog(void) {
  int fd = listens(at(ANY, port + 1), 0, 0), first = tcp(SOCK_NONBLOCK), second = tcp(SOCK_NONBLOCK);
  raw_connect(first, at(self_ip, port + 1));
  until(first);
  raw_connect(second, at(self_ip, port + 1));
  quiet(second, POLLOUT);
  accepts(fd);
  until(second);
  so_error(second);
}

static void close_and_bind_again(void) {
  for (int i = 0; i < 3; i++) {
    int fd = listens(at(ANY, port + 1), 4, 0), client = tcp(0);
    connects(client, at(self_ip, port + 1));
    close(client);
    close(accept(fd, 0, 0));
    close(fd);
  }
}

static void inherits(bool set) {
  int fd = tcp(0);
  set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (set) set_options(fd);
  binds(fd, at(ANY, port + 1));
  result("listen", listen(fd, 4));
  ask_for_connections(port + 1, 1);
  int got = accept(fd, 0, 0);
  tell_options(got, set);
  reads(got);
}
static void inherits_all(void) { inherits(true); }
static void inherits_none(void) { inherits(false); }

static void numbers(void) {
  int fd = listens(at(ANY, port + 1), 16, 0), control = ask_for_connections(port + 1, 5), before = dup(0);
  for (int i = 0; i < 5; i++) {
    int got = accept4(fd, 0, 0, i % 2 ? SOCK_CLOEXEC : 0);
    say("descriptor %d", got - before);
    if (i == 2) close(control);
  }
}

static void no_descriptor_left(void) {
  struct rlimit few = {64, 64};
  int fd = listens(at(ANY, port + 1), 16, SOCK_NONBLOCK), last = 0, some[64];
  NEED(setrlimit(RLIMIT_NOFILE, &few) == 0);
  ask_for_connections(port + 1, 1);
  polls(fd, POLLIN, LIMIT_MS);
  while ((some[last] = dup(fd)) >= 0) last++;
  result("accept", accept(fd, 0, 0));
  close(some[--last]);
  int got = accept(fd, 0, 0);
  result("with one", got);
  for (int i = 0; i < 3; i++) close(some[--last]);
  if (got < 0) {
    struct pollfd wanted = {.fd = fd, .events = POLLIN};
    NEED(poll(&wanted, 1, LIMIT_MS) == 1);
    got = accept(fd, 0, 0);
  }
  reads(got);
}

/* What was sent before anybody accepted, and what is said afterwards. */
static void ended_before_accept(void) {
  int fd = listens(at(ANY, port + 1), 16, 0), control = ask_for_connections(port + 1, 1);
  char answer[64];
  NEED(exchange(control, "E\n", answer, sizeof answer));
  int got = accepts(fd);
  reads(got);
  reads(got);
}

static void reset_before_accept(void) {
  int fd = listens(at(ANY, port + 1), 16, 0), control = ask_for_connections(port + 1, 1);
  char answer[64];
  NEED(exchange(control, "R\n", answer, sizeof answer));
  sleep_ms(50);
  int got = accept(fd, 0, 0);
  result("accept", got);
  reads(got);
}

/* The peer reads what became of its connection. */
static void closed_on_the_peer(void) {
  int fd = listens(at(ANY, port + 1), 16, 0), control = ask_for_connections(port + 1, 2);
  char answer[64];
  result("close", close(fd));
  NEED(exchange(control, "L\n", answer, sizeof answer));
  say("the peer reads: %s", answer);
}

static const struct one cases[] = {
    {"nothing waits", nothing_waits},
    {"accept without a name", accept_without_name},
    {"accept, short name", accept_short_name},
    {"accept, bad size", accept_bad_size},
    {"accept4's flags", accept_flags},
    {"accept of what does not listen", accept_bad},
    {"SO_REUSEPORT", reuse_port},
    {"SO_REUSEPORT, one closed", reuse_port_closed},
    {"forked workers", workers},
    {"a listener passed over a Unix socket", passed_over_a_socket},
    {"a listener inherited over exec", inherited_over_exec},
    {"blocking and non-blocking accept", blocking_and_not},
    {"epoll on a listener", epoll_accept},
    {"closed while connections wait", close_while_waiting},
    {"shutdown of a listener", shutdown_of_listener},
    {"a full backlog", full_backlog},
    {"closed and bound again", close_and_bind_again},
    {"options of the listener, all set", inherits_all},
    {"options of the listener, none set", inherits_none},
    {"descriptors", numbers},
    {"no descriptor is left", no_descriptor_left},
    {"ended before it is accepted", ended_before_accept},
    {"reset before it is accepted", reset_before_accept},
    {"closed while connections of others wait", closed_on_the_peer},
    {"accepts at 50", accepts_at_50}, /* what `inherited over exec` starts; not a case of its own */
};

MAIN(cases)
