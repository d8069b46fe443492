/*
 * tcpTraffic: how many bytes each TCP connection of this network namespace has moved, from the kernel's sock_diag. /proc/net/tcp
 * has no such counters. Any user may ask.
 */
#define _GNU_SOURCE
#include "util.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/* States of include/net/tcp_states.h that may move bytes: all but TIME_WAIT (6), CLOSE (7), LISTEN (10), NEW_SYN_RECV (12). */
#define STATES (0xfffu & ~((1u << 6) | (1u << 7) | (1u << 10)))

struct rows {
  uint64_t *values; /* inode, bytes, inode, bytes, … */
  size_t count, room;
};

static bool add_row(struct rows *rows, uint64_t inode, uint64_t bytes) {
  if (rows->count + 2 > rows->room) {
    size_t room = rows->room ? rows->room * 2 : 256;
    uint64_t *values = realloc(rows->values, room * sizeof *values);
    if (!values) return false;
    rows->values = values;
    rows->room = room;
  }
  rows->values[rows->count++] = inode;
  rows->values[rows->count++] = bytes;
  return true;
}

static bool read_socket(struct nlmsghdr *header, struct rows *rows) {
  struct inet_diag_msg *message = NLMSG_DATA(header);
  int length = (int)header->nlmsg_len - (int)NLMSG_LENGTH(sizeof *message);
  for (struct rtattr *a = (struct rtattr *)(message + 1); RTA_OK(a, length); a = RTA_NEXT(a, length)) {
    if (a->rta_type != INET_DIAG_INFO) continue;
    struct tcp_info info = {0}; /* an older kernel's is shorter */
    size_t given = RTA_PAYLOAD(a);
    memcpy(&info, RTA_DATA(a), given < sizeof info ? given : sizeof info);
    return add_row(rows, message->idiag_inode, info.tcpi_bytes_acked + info.tcpi_bytes_received);
  }
  return true;
}

/* Returns 0 or an errno. */
static int dump(int fd, unsigned char family, struct rows *rows) {
  struct {
    struct nlmsghdr header;
    struct inet_diag_req_v2 body;
  } request = {
      .header = {.nlmsg_len = sizeof request, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
      .body = {.sdiag_family = family, .sdiag_protocol = IPPROTO_TCP, .idiag_ext = 1 << (INET_DIAG_INFO - 1), .idiag_states = STATES},
  };
  if (send(fd, &request, sizeof request, 0) < 0) return errno;
  union {
    struct nlmsghdr align;
    char bytes[32768];
  } buffer;
  for (;;) {
    ssize_t got = recv(fd, &buffer, sizeof buffer, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return got == 0 ? EIO : errno;
    size_t left = (size_t)got;
    for (struct nlmsghdr *h = &buffer.align; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
      if (h->nlmsg_type == NLMSG_DONE) return 0;
      if (h->nlmsg_type == NLMSG_ERROR) return -((struct nlmsgerr *)NLMSG_DATA(h))->error;
      if (h->nlmsg_type == SOCK_DIAG_BY_FAMILY && !read_socket(h, rows)) return ENOMEM;
    }
  }
}

napi_value im_tcp_traffic(napi_env env, napi_callback_info info) {
  (void)info;
  struct rows rows = {0};
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  int error = fd < 0 ? errno : 0;
  if (!error) {
    /* The kernel answers a dump at once; this is for one that does not. */
    struct timeval limit = {.tv_sec = 1};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    error = dump(fd, AF_INET, &rows);
    if (!error) dump(fd, AF_INET6, &rows); /* a kernel without IPv6 refuses */
    close(fd);
  }
  napi_value result = NULL, memory;
  void *bytes = NULL;
  size_t size = rows.count * sizeof *rows.values;
  if (error) {
    napi_get_null(env, &result);
  } else if (napi_create_arraybuffer(env, size, &bytes, &memory) == napi_ok) {
    if (size) memcpy(bytes, rows.values, size);
    napi_create_typedarray(env, napi_biguint64_array, rows.count, memory, 0, &result);
  }
  free(rows.values);
  return result;
}
