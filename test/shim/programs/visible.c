/*
 * visible FOLDER OWN: what a guest can tell, as docs/transparency.md says. Prints `case: result`, to be compared with
 * what the same says natively. OWN is its own virtual address (natively any own one). As a guest, /no/such/place and
 * /etc/imagined are FOLDER, and /etc/passwd is FOLDER/passwd.
 */
#include "case.h"
#include <glob.h>
#include <limits.h>
#include <pwd.h>
#include <spawn.h>
#include <sys/un.h>

#define PLACE "/no/such/place"
static const char *folder;
static char text[PATH_MAX];

static void result(const char *name, const char *what) { printf("%s: %s\n", name, what); }
static void outcome(const char *name, int failed) { result(name, failed ? strerror(errno) : "ok"); }
static void answer(const char *name, bool yes) { result(name, yes ? "yes" : "no"); }

static bool lists(const char *path, const char *name) {
  DIR *dir = opendir(path);
  bool found = false;
  for (struct dirent *entry; dir && (entry = readdir(dir));) found |= !strcmp(entry->d_name, name);
  if (dir) closedir(dir);
  return found;
}

static void files(void) {
  struct sockaddr_un local = {.sun_family = AF_UNIX, .sun_path = PLACE "/socket"};
  char link[PATH_MAX], *arguments[] = {"run", 0}, *environment[] = {0};
  glob_t matches;
  struct passwd *user;
  pid_t pid;
  outcome("a remapped folder", access("/etc/imagined/name", F_OK));
  answer("is in the listing of its parent", lists("/etc", "imagined"));
  int found = glob(PLACE "/*", 0, 0, &matches);
  answer("is found by glob", found == 0);
  if (found == 0) globfree(&matches);
  if (chdir(PLACE) == 0) answer("is what getcwd says", getcwd(text, sizeof text) && !strcmp(text, PLACE));
  CHECK(chdir("/") == 0);
  int fd = open(PLACE "/name", O_RDONLY);
  if (fd >= 0) {
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, text, sizeof text - 1);
    CHECK(size > 0);
    text[size] = 0;
    answer("is what /proc/self/fd says", !strncmp(text, PLACE, strlen(PLACE)));
    close(fd);
  }
  outcome("holds a socket", bind(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&local, sizeof local));
  setenv("PATH", PLACE, 1);
  errno = posix_spawnp(&pid, "run", 0, 0, arguments, environment);
  outcome("is searched for programs", errno);
  snprintf(link, sizeof link, "%s/to-place", folder);
  CHECK(symlink(PLACE "/name", link) == 0);
  outcome("is led to by a symbolic link of the machine's", access(link, F_OK));
  CHECK(unlink(link) == 0);
  user = getpwnam("imagined");
  answer("is seen by getpwnam", user);
}

static int udp(int family) { return socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0); }

static void ports(void) {
  int any = udp(AF_INET), loop = udp(AF_INET);
  CHECK(bind_to(any, at("0.0.0.0", 6701)) == 0);
  outcome("127.0.0.1 next to the wildcard", bind_to(loop, at("127.0.0.1", 6701)));
  outcome("a port at the wildcard, connected outside", connect_to(any, at("198.51.100.1", 9)));
  close(any);
  close(loop);
}

static void sixes(void) {
  int server = udp(AF_INET6), only = udp(AF_INET6), client = udp(AF_INET6), on = 1;
  struct timeval limit = {.tv_usec = 300000};
  struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(6703)}, loop = any, from = {0};
  socklen_t size = sizeof from;
  char byte;
  loop.sin6_addr = in6addr_loopback;
  CHECK(bind(server, (struct sockaddr *)&any, sizeof any) == 0);
  CHECK(sendto(client, "x", 1, 0, (struct sockaddr *)&loop, sizeof loop) == 1);
  CHECK(recvfrom(server, &byte, 1, 0, (struct sockaddr *)&from, &size) == 1);
  result("a datagram by ::1 comes from", inet_ntop(AF_INET6, &from.sin6_addr, text, sizeof text));
  any.sin6_port = loop.sin6_port = htons(6704);
  CHECK(setsockopt(only, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0 &&
        bind(only, (struct sockaddr *)&any, sizeof any) == 0);
  CHECK(setsockopt(only, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
  CHECK(sendto(client, "x", 1, 0, (struct sockaddr *)&loop, sizeof loop) == 1);
  answer("a UDP port for IPv6 only is reached", recv(only, &byte, 1, 0) == 1);
  close(server);
  close(only);
  close(client);
}

/* A valid one: the time to live, so often that it takes more than we have room for. */
static void much_control(const char *own) {
  enum { TIMES = 16 };
  union {
    struct cmsghdr header;
    char bytes[TIMES * CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct sockaddr_in to = at(own, 6705);
  struct iovec part = {"x", 1};
  struct msghdr message = {.msg_name = &to,
                           .msg_namelen = sizeof to,
                           .msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = &control,
                           .msg_controllen = sizeof control};
  for (int i = 0, ttl = 9; i < TIMES; i++) {
    struct cmsghdr one = {.cmsg_len = CMSG_LEN(sizeof ttl), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_TTL};
    memcpy(control.bytes + i * CMSG_SPACE(sizeof ttl), &one, sizeof one);
    memcpy(control.bytes + i * CMSG_SPACE(sizeof ttl) + CMSG_LEN(0), &ttl, sizeof ttl);
  }
  outcome("much control data", sendmsg(udp(AF_INET), &message, 0) != 1);
}

int main(int argc, char **argv) {
  CHECK(argc == 3);
  folder = argv[1];
  files();
  ports();
  sixes();
  much_control(argv[2]);
  return 0;
}
