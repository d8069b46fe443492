/*
 * small_stack: every call that takes a path, and those on sockets, in a signal's handler on a stack of 8,192 bytes.
 * `small_stack FOLDER`: /etc/hostname is FOLDER/name, /no/such/place is FOLDER, which has sub/ and run; `api` is a
 * host, and nobody listens there.
 */
#include "case.h"
#include <limits.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <utime.h>

#define STACK 8192

static const char *path, *place = "/no/such/place/sub/none";
static struct sockaddr_in to, from, here;
static socklen_t size;
static int stream, datagram, listener, result;
static struct stat status;
static struct statfs system_status;
static struct statvfs system_more;
static char text[PATH_MAX];
static char *arguments[] = {"x", 0}, *variables[] = {0};
static struct msghdr message;
static struct iovec part = {"x", 1};

/* Each result is one that the call natively has: only the stack is looked at here. */
/* clang-format off */
#define CALLS \
  X(close(open(path, O_RDONLY))) X(close(open64(path, O_RDONLY))) X(close(openat(AT_FDCWD, path, O_RDONLY))) \
  X(close(openat64(AT_FDCWD, path, O_RDONLY))) X(close(creat(path, 0600))) X(chdir(path)) X(access(path, R_OK)) \
  X(eaccess(path, R_OK)) X(euidaccess(path, R_OK)) X(faccessat(AT_FDCWD, path, R_OK, 0)) X(stat(path, &status)) \
  X(lstat(path, &status)) X(fstatat(AT_FDCWD, path, &status, 0)) X((int)syscall(SYS_statx, AT_FDCWD, path, 0, 0xfff, text)) \
  X(statfs(path, &system_status)) X(statvfs(path, &system_more)) X((int)readlink(path, text, sizeof text)) \
  X((int)readlinkat(AT_FDCWD, path, text, sizeof text)) X(truncate(path, 9)) X(chmod(path, 0600)) \
  X(fchmodat(AT_FDCWD, path, 0600, 0)) X(chown(path, getuid(), getgid())) X(lchown(path, getuid(), getgid())) \
  X(fchownat(AT_FDCWD, path, getuid(), getgid(), 0)) X(utime(path, 0)) X(utimes(path, 0)) \
  X(utimensat(AT_FDCWD, path, 0, 0)) X(symlink("x", path)) X(symlinkat("x", AT_FDCWD, path)) X(link(path, path)) \
  X(linkat(AT_FDCWD, path, AT_FDCWD, path, 0)) X(rename(path, path)) X(renameat(AT_FDCWD, path, AT_FDCWD, path)) \
  X(mkdir(path, 0700)) X(mkdirat(AT_FDCWD, path, 0700)) X(rmdir(path)) X(unlink(place)) X(unlinkat(AT_FDCWD, place, 0)) \
  X(remove(place)) X(inotify_add_watch(result, path, IN_ACCESS)) \
  X((int)syscall(SYS_newfstatat, AT_FDCWD, path, &status, 0)) X(execve(path, arguments, variables)) \
  X(execv(path, arguments)) X(execl(path, "x", (char *)0)) X(execvp("no-such-program", arguments)) \
  X(bind(stream, (void *)&here, sizeof here)) X(listen(listener, 4)) X(connect(stream, (void *)&to, sizeof to)) \
  X((size = sizeof from, getsockname(stream, (void *)&from, &size))) \
  X((size = sizeof from, getpeername(stream, (void *)&from, &size))) \
  X((size = sizeof from, accept(listener, (void *)&from, &size))) \
  X(bind(datagram, (void *)&here, sizeof here)) \
  X((int)sendto(datagram, "x", 1, 0, (void *)&to, sizeof to)) X((int)sendmsg(datagram, &message, 0)) \
  X((int)sendto(datagram, "x", 1, 0, (void *)&here, sizeof here)) X(connect(datagram, (void *)&to, sizeof to)) \
  X((int)send(datagram, "x", 1, 0)) X((size = sizeof from, (int)recvfrom(datagram, text, 9, MSG_DONTWAIT, (void *)&from, &size))) \
  X((int)recvmsg(datagram, &message, MSG_DONTWAIT)) X(shutdown(stream, SHUT_RDWR)) X(gethostname(text, sizeof text)) \
  X(close(dup2(stream, datagram)))
/* clang-format on */

static int at_call;

static void handler(int signal) {
  (void)signal;
  int number = 0;
#define X(call) \
  if (number++ == at_call) { \
    result = (call); \
    return; \
  }
  CALLS
#undef X
}

static const char *const names[] = {
#define X(call) #call,
    CALLS
#undef X
};

static void all_calls(void) {
  for (at_call = 0; at_call < (int)(sizeof names / sizeof *names); at_call++) {
    printf("%s\n", names[at_call]);
    fflush(stdout);
    raise(SIGUSR1);
  }
}

static void sockets_anew(void) {
  close(stream), close(datagram), close(listener);
  stream = tcp(SOCK_NONBLOCK);
  listener = tcp(SOCK_NONBLOCK);
  datagram = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
}

int main(int count, char **args) {
  static char long_path[3000];
  CHECK(count == 2);
  /* A page that is no stack lies below: what needs more ends here. */
  char *map = mmap(0, STACK + 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(map != MAP_FAILED && mprotect(map + 65536, STACK, PROT_READ | PROT_WRITE) == 0);
  stack_t stack = {.ss_sp = map + 65536, .ss_size = STACK};
  struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
  CHECK(sigaltstack(&stack, 0) == 0 && sigaction(SIGUSR1, &action, 0) == 0);
  to = resolve("api", 7000);
  here = at("127.0.0.1", 0);
  message = (struct msghdr){.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &part, .msg_iovlen = 1};
  memset(long_path, '/', sizeof long_path);
  memcpy(long_path + sizeof long_path - sizeof "etc/hostname", "etc/hostname", sizeof "etc/hostname");
  const char *const paths[] = {"/etc/hostname", long_path, "etc/hostname",
                               "../../../../../../../../../../../../etc/hostname"};
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
    CHECK(chdir("/") == 0);
    if (i == 3) { /* from a directory whose own path is long */
      memset(text, 'a', 250);
      text[250] = 0;
      CHECK(chdir(args[1]) == 0);
      for (int depth = 0; depth < 3; depth++) CHECK(mkdir(text, 0700) == 0 && chdir(text) == 0);
    }
    path = paths[i];
    sockets_anew();
    all_calls();
  }
  puts("end");
  return 0;
}
