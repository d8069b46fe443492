/*
 * Messages of guests as the native addon reads them: any bytes with any descriptors. Input: u8 descriptors, u8
 * whether another user sends, then the datagram. No descriptor may be left open.
 */
#undef _GNU_SOURCE
#include "addon/socket.c"

#include <fcntl.h>

#include "fuzz.h"

static int lowest(void) {
  int fd = dup(0);
  HOLDS(fd >= 0);
  close(fd);
  return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct input input = {data, size};
  unsigned count = number(&input, 1) % 40, foreign = number(&input, 1) % 8 == 0;
  int ends[2], before = lowest(), one = 1, shared = open("/dev/null", O_RDONLY | O_CLOEXEC), fds[40];
  static struct shim_socket socket;
  HOLDS(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) == 0);
  HOLDS(setsockopt(ends[0], SOL_SOCKET, SO_PASSCRED, &one, sizeof one) == 0);
  for (unsigned i = 0; i < count; i++) fds[i] = shared;
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof fds)];
  } control = {
      .header = {.cmsg_len = CMSG_LEN(count * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
  memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
  struct iovec part = {(void *)(uintptr_t)input.at, input.left};
  struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
  if (count) {
    header.msg_control = control.bytes;
    header.msg_controllen = CMSG_SPACE(count * sizeof(int));
  }
  bool sent = sendmsg(ends[1], &header, MSG_NOSIGNAL) >= 0;
  socket.fd = ends[0];
  socket.uid = foreign ? geteuid() + 1 : geteuid();
  struct message *message = receive(&socket);
  HOLDS(!message || (sent && !foreign && message->length == input.left && message->count == (int)count));
  HOLDS(message || !sent || foreign || count > MAX_DESCRIPTORS || input.left > MAX_MESSAGE);
  if (message) free_message(message);
  close(ends[0]);
  close(ends[1]);
  close(shared);
  HOLDS(lowest() == before);
  return 0;
}
