#define _GNU_SOURCE
#include "base/namespace.h"
#include "netns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_SPACES 16384

static struct im_space spaces[MAX_SPACES];

static bool try_new_space(void *unused) {
  (void)unused;
  return unshare(CLONE_NEWNET) == 0 || fail(errno, "a network namespace");
}

/* Where we may not make network namespaces, we may in a user namespace of our own. */
bool space_begin(bool *user) {
  for (int i = 0; i < MAX_SPACES; i++) spaces[i] = (struct im_space){-1, -1};
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  *user = !inside_run(NULL, try_new_space, NULL);
  if (!*user) return true;
  uid_t uid = geteuid();
  gid_t gid = getegid();
  if (unshare(CLONE_NEWUSER) != 0) return fail(errno, "a user namespace");
  /* Everybody is himself inside: files and processes keep their owners' names. */
  if (!namespace_map(getpid(), uid, uid, gid, gid)) return false;
  /* The gain of capabilities has hidden our /proc/PID from ourselves, and others of ours come in by it. */
  prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  return inside_run(NULL, try_new_space, NULL);
}

static struct im_space *slot(const char *number) {
  char *end;
  unsigned long index = strtoul(number, &end, 10);
  return *number && !*end && index < MAX_SPACES ? &spaces[index] : NULL;
}

struct im_space *space_find(const char *number) {
  struct im_space *space = slot(number);
  if (space && space->fd >= 0) return space;
  fail(0, "there is no space '%s'", number);
  return NULL;
}

/* In many containers /proc/sys is read-only. It works without. */
static void try_setting(const char *path, const char *value) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  ssize_t written = write(fd, value, strlen(value));
  (void)written;
  close(fd);
}

static bool create(void *argument) {
  struct im_space *space = argument;
  if (!try_new_space(NULL)) return false;
  /* Some machines check strictly where packets come from, in new namespaces too. Not ours to be strict about. */
  try_setting("/proc/sys/net/ipv4/conf/all/rp_filter", "0");
  /* Otherwise every second resolver that finds no server waits for one. */
  try_setting("/proc/sys/net/ipv4/icmp_ratelimit", "0");
  space->fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  if (space->fd < 0) return fail(errno, "/proc/thread-self/ns/net");
  space->links = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  return space->links >= 0 || fail(errno, "netlink");
}

bool space_make(const char *number, char *path, size_t size) {
  struct im_space *space = slot(number);
  if (!space || space->fd >= 0) return fail(0, "'%s' is no number of a new space, 0 to %d", number, MAX_SPACES - 1);
  if (!inside_run(NULL, create, space) || !links_set_up(space, "lo", 0)) return space_close(space), false;
  snprintf(path, size, "/proc/%d/fd/%d", (int)getpid(), space->fd);
  return true;
}

void space_close(struct im_space *space) {
  if (space->links >= 0) close(space->links);
  if (space->fd >= 0) close(space->fd);
  *space = (struct im_space){-1, -1};
}

struct endpoint {
  struct sockaddr_in address;
  int fd;
};

static bool parse_endpoint(const char *address, const char *port, struct endpoint *endpoint) {
  endpoint->fd = -1;
  endpoint->address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
  return inet_pton(AF_INET, address, &endpoint->address.sin_addr) == 1 || fail(0, "'%s' is no address", address);
}

static bool open_socket(struct endpoint *endpoint, bool passive) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
  if (fd < 0) return fail(errno, "socket");
  const struct sockaddr *address = (const struct sockaddr *)&endpoint->address;
  bool ok = passive ? setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
                          bind(fd, address, sizeof endpoint->address) == 0 && listen(fd, 512) == 0
                    : connect(fd, address, sizeof endpoint->address) == 0;
  if (!ok) return fail(errno, passive ? "listen" : "connect"), close(fd), false;
  endpoint->fd = fd;
  return true;
}

static bool open_listening(void *endpoint) { return open_socket(endpoint, true); }
static bool open_connected(void *endpoint) { return open_socket(endpoint, false); }

bool space_listen(const struct im_space *space, const char *address, const char *port, int *fd) {
  struct endpoint endpoint;
  bool ok = parse_endpoint(address, port, &endpoint) && inside_run(space, open_listening, &endpoint);
  return *fd = endpoint.fd, ok;
}

bool space_dial(const struct im_space *space, const char *address, const char *port, int *fd) {
  struct endpoint endpoint;
  bool ok = parse_endpoint(address, port, &endpoint) && inside_run(space, open_connected, &endpoint);
  return *fd = endpoint.fd, ok;
}
