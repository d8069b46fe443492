/* sendDatagram: one UDP datagram from a guest's socket that was passed to us. */
#define _GNU_SOURCE
#include "util.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

static socklen_t write_address(int family, uint32_t ip, uint16_t port, struct sockaddr_storage *to) {
  if (family != AF_INET6) {
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(ip)};
    memcpy(to, &in, sizeof in);
    return sizeof in;
  }
  struct sockaddr_in6 in = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
  uint32_t last = htonl(ip);
  in.sin6_addr.s6_addr[10] = in.sin6_addr.s6_addr[11] = 0xff;
  memcpy(&in.sin6_addr.s6_addr[12], &last, sizeof last);
  memcpy(to, &in, sizeof in);
  return sizeof in;
}

static bool send_datagram(int fd, void *bytes, size_t length, uint32_t real, uint16_t port, uint32_t source) {
  int family = AF_INET;
  socklen_t size = sizeof family;
  struct sockaddr_storage to;
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
  } control = {.header = {.cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo)), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO}};
  struct in_pktinfo from = {.ipi_spec_dst.s_addr = htonl(source)};
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size) != 0) return false;
  memcpy(CMSG_DATA(&control.header), &from, sizeof from);
  struct iovec part = {.iov_base = bytes, .iov_len = length};
  struct msghdr message = {.msg_name = &to, .msg_iov = &part, .msg_iovlen = 1};
  message.msg_namelen = write_address(family, real, port, &to);
  if (source) {
    message.msg_control = &control;
    message.msg_controllen = sizeof control;
  }
  ssize_t sent;
  do {
    sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent == (ssize_t)length;
}

napi_value im_send_datagram(napi_env env, napi_callback_info info) {
  napi_value arguments[5], result;
  int fd;
  uint32_t numbers[3] = {0};
  napi_typedarray_type type;
  size_t length = 0;
  void *bytes = NULL;
  if (!im_arguments(env, info, arguments, 5, "sendDatagram(fd, data, address, port, source)")) return NULL;
  if (!im_fd_argument(env, arguments[0], &fd)) return NULL;
  bool ok = napi_get_typedarray_info(env, arguments[1], &type, &length, &bytes, NULL, NULL) == napi_ok && type == napi_uint8_array;
  for (int i = 0; ok && i < 3; i++) ok = napi_get_value_uint32(env, arguments[i + 2], &numbers[i]) == napi_ok;
  if (!ok) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "sendDatagram(fd, data: Uint8Array, address, port, source: numbers)");
    return NULL;
  }
  napi_get_boolean(env, send_datagram(fd, bytes, length, numbers[0], (uint16_t)numbers[1], numbers[2]), &result);
  return result;
}
