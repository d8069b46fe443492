#define _GNU_SOURCE
#include "sandbox.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define MAX_OWNERS 4096

/*
 * Of the socket at that end of a TCP connection; 0: there is none. Asks for one socket, however many the machine has.
 */
static unsigned inode_of(const struct sockaddr_in *from, const struct sockaddr_in *to) {
  struct {
    struct nlmsghdr header;
    struct inet_diag_req_v2 body;
  } request = {
      .header = {.nlmsg_len = sizeof request, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST}};
  request.body.sdiag_family = AF_INET;
  request.body.sdiag_protocol = IPPROTO_TCP;
  request.body.idiag_states = -1u;
  request.body.id.idiag_src[0] = from->sin_addr.s_addr;
  request.body.id.idiag_sport = from->sin_port;
  request.body.id.idiag_dst[0] = to->sin_addr.s_addr;
  request.body.id.idiag_dport = to->sin_port;
  request.body.id.idiag_cookie[0] = request.body.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  union {
    struct nlmsghdr header;
    char bytes[8192];
  } answer;
  int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  if (fd < 0) return fail(errno, "sock_diag"), 0;
  const struct timeval limit = {.tv_sec = 1};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ssize_t length = send(fd, &request, sizeof request, 0) < 0 ? -1 : recv(fd, &answer, sizeof answer, 0);
  close(fd);
  if (length < (ssize_t)NLMSG_LENGTH(sizeof(struct inet_diag_msg))) return 0;
  if (answer.header.nlmsg_type != SOCK_DIAG_BY_FAMILY) return 0;
  return ((const struct inet_diag_msg *)NLMSG_DATA(&answer.header))->idiag_inode;
}

static bool has_socket(pid_t pid, unsigned inode) {
  char path[64], wanted[32], text[64];
  snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
  int length = snprintf(wanted, sizeof wanted, "socket:[%u]", inode);
  DIR *open = opendir(path);
  bool found = false;
  for (struct dirent *entry; open && !found && (entry = readdir(open));) {
    ssize_t read = readlinkat(dirfd(open), entry->d_name, text, sizeof text);
    found = read == length && memcmp(text, wanted, (size_t)length) == 0;
  }
  if (open) closedir(open);
  return found;
}

/* A cgroup lists its processes; without one, all processes of the machine have to be looked at. */
static int list_sandbox(const char *cgroup, pid_t root, bool self, pid_t *pids) {
  static char states[MAX_OWNERS];
  char path[4096];
  if (!cgroup) return tree_list(root, self, pids, states, MAX_OWNERS);
  snprintf(path, sizeof path, "%s/cgroup.procs", cgroup);
  FILE *lines = fopen(path, "re");
  int count = 0;
  while (lines && count < MAX_OWNERS && fscanf(lines, "%d", &pids[count]) == 1) count++;
  if (lines) fclose(lines);
  return count;
}

static bool parse_end(const char *address, const char *port, struct sockaddr_in *end) {
  *end = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
  return inet_pton(AF_INET, address, &end->sin_addr) == 1;
}

bool owner_has_connection(const char *ends, const char *cgroup, pid_t root, bool self) {
  static pid_t pids[MAX_OWNERS];
  char address[2][16], port[2][6];
  struct sockaddr_in from, to;
  if (sscanf(ends, "%15s %5s %15s %5s", address[0], port[0], address[1], port[1]) != 4) return false;
  if (!parse_end(address[0], port[0], &from) || !parse_end(address[1], port[1], &to)) return false;
  unsigned inode = inode_of(&from, &to);
  int count = inode ? list_sandbox(cgroup, root, self, pids) : 0;
  for (int i = 0; i < count; i++) {
    if (has_socket(pids[i], inode)) return true;
  }
  return false;
}
