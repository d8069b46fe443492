/*
 * tcpSockets: the TCP sockets of this network namespace with the bytes that each has moved, from the kernel's
 * sock_diag. Any user may ask. /proc/net/tcp has no such counters, and reading it takes the longer the more sockets are
 * in TIME_WAIT.
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

/* Numbers of include/net/tcp_states.h. CLOSE (7) is of no interest, and NEW_SYN_RECV (12) is shown as SYN_RECV. */
#define TIME_WAIT 6
#define ALL_STATES (0xfffu & ~(1u << 7))
#define COLUMNS 13

struct rows {
  double *values; /* COLUMNS numbers a row, see index.d.ts */
  size_t count, room;
};

static double *add_row(struct rows *rows) {
  if (rows->count + COLUMNS > rows->room) {
    size_t room = rows->room ? rows->room * 2 : 64 * COLUMNS;
    double *values = realloc(rows->values, room * sizeof *values);
    if (!values) return NULL;
    rows->values = values;
    rows->room = room;
  }
  double *row = rows->values + rows->count;
  rows->count += COLUMNS;
  return row;
}

/* IPv4, also when mapped into IPv6; 0: any address; -1: another IPv6 address. */
static double address_of(unsigned char family, const uint32_t words[4]) {
  if (family == AF_INET) return ntohl(words[0]);
  if (words[0] || words[1]) return -1;
  if (ntohl(words[2]) == 0xffff) return ntohl(words[3]);
  return words[2] || words[3] ? -1 : 0;
}

static bool read_socket(struct nlmsghdr *header, struct rows *rows) {
  struct inet_diag_msg *message = NLMSG_DATA(header);
  double *row = add_row(rows);
  if (!row) return false;
  struct tcp_info info = {0}; /* an older kernel's is shorter */
  int length = (int)header->nlmsg_len - (int)NLMSG_LENGTH(sizeof *message);
  for (struct rtattr *a = (struct rtattr *)(message + 1); RTA_OK(a, length); a = RTA_NEXT(a, length)) {
    if (a->rta_type != INET_DIAG_INFO) continue;
    size_t given = RTA_PAYLOAD(a);
    memcpy(&info, RTA_DATA(a), given < sizeof info ? given : sizeof info);
  }
  row[0] = address_of(message->idiag_family, message->id.idiag_src);
  row[1] = ntohs(message->id.idiag_sport);
  row[2] = address_of(message->idiag_family, message->id.idiag_dst);
  row[3] = ntohs(message->id.idiag_dport);
  row[4] = message->idiag_state;
  row[5] = message->idiag_wqueue;
  row[6] = message->idiag_rqueue;
  row[7] = message->idiag_state == TIME_WAIT ? message->idiag_expires : 0;
  row[8] = message->idiag_inode;
  row[9] = (double)(info.tcpi_bytes_acked + info.tcpi_bytes_received);
  row[10] = (double)message->id.idiag_cookie[1] * 4294967296.0 + message->id.idiag_cookie[0];
  row[11] = info.tcpi_last_ack_recv;
  row[12] = info.tcpi_total_retrans;
  return true;
}

/* Returns 0 or an errno. */
static int dump(int fd, unsigned char family, uint32_t states, struct rows *rows) {
  struct {
    struct nlmsghdr header;
    struct inet_diag_req_v2 body;
  } request = {
      .header = {.nlmsg_len = sizeof request,
                 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
      .body = {.sdiag_family = family,
               .sdiag_protocol = IPPROTO_TCP,
               .idiag_ext = 1 << (INET_DIAG_INFO - 1),
               .idiag_states = states},
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

napi_value diag_tcp_sockets(napi_env env, napi_callback_info info) {
  napi_value argument;
  bool time_wait = false;
  if (!util_arguments(env, info, &argument, 1, "tcpSockets(timeWait)")) return NULL;
  if (napi_get_value_bool(env, argument, &time_wait) != napi_ok) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "tcpSockets(timeWait): timeWait must be a boolean");
    return NULL;
  }
  uint32_t states = time_wait ? 1u << TIME_WAIT : ALL_STATES & ~(1u << TIME_WAIT);
  struct rows rows = {0};
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  int error = fd < 0 ? errno : 0;
  if (!error) {
    /* The kernel answers a dump at once; this is for one that does not. */
    struct timeval limit = {.tv_sec = 1};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    error = dump(fd, AF_INET, states, &rows);
    if (!error) dump(fd, AF_INET6, states, &rows); /* a kernel without IPv6 refuses */
    close(fd);
  }
  napi_value result = NULL, memory;
  void *bytes = NULL;
  size_t size = rows.count * sizeof *rows.values;
  if (error) {
    napi_get_null(env, &result);
  } else if (napi_create_arraybuffer(env, size, &bytes, &memory) == napi_ok) {
    if (size) memcpy(bytes, rows.values, size);
    napi_create_typedarray(env, napi_float64_array, rows.count, memory, 0, &result);
  }
  free(rows.values);
  return result;
}
