#define _GNU_SOURCE
#include "netns.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

char failure[MESSAGE_SIZE];

bool fail(int error, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(failure, sizeof failure, format, arguments);
  va_end(arguments);
  if (error != 0 && length >= 0 && length < MESSAGE_SIZE) {
    snprintf(failure + length, (size_t)(MESSAGE_SIZE - length), ": %s", strerror(error));
  }
  return false;
}

/* A platform that is gone is seen at the control descriptor. */
static void send_line(int fd, const char *line, int socket) {
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control;
  struct iovec part = {.iov_base = (void *)line, .iov_len = strlen(line)};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (socket >= 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &socket, sizeof socket);
  }
  ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);
  (void)sent;
}

void answer_ready(int fd, bool user) {
  char line[128], path[64] = "null";
  if (user) snprintf(path, sizeof path, "\"/proc/%d/ns/user\"", (int)getpid());
  snprintf(line, sizeof line, "{\"ready\":true,\"user\":%s}\n", path);
  send_line(fd, line, -1);
}

void answer_done(int fd, const char *id) {
  char line[64];
  snprintf(line, sizeof line, "{\"id\":%s}\n", id);
  send_line(fd, line, -1);
}

void answer_path(int fd, const char *id, const char *path) {
  char line[256];
  snprintf(line, sizeof line, "{\"id\":%s,\"path\":\"%s\"}\n", id, path);
  send_line(fd, line, -1);
}

void answer_failed(int fd, const char *id) {
  char line[2 * MESSAGE_SIZE + 64], text[2 * MESSAGE_SIZE + 1];
  size_t length = 0;
  for (const unsigned char *c = (const unsigned char *)failure; *c; c++) {
    if (*c == '"' || *c == '\\') text[length++] = '\\';
    text[length++] = *c < 0x20 ? ' ' : (char)*c;
  }
  text[length] = '\0';
  if (id) {
    snprintf(line, sizeof line, "{\"id\":%s,\"error\":\"%s\"}\n", id, text);
  } else {
    snprintf(line, sizeof line, "{\"error\":\"%s\"}\n", text);
  }
  send_line(fd, line, -1);
}

/* As Node.js itself sends handles to its children: it makes a `TCP` of the descriptor and hands it out with `msg`. */
void answer_socket(int fd, const char *id, int socket) {
  char line[128];
  snprintf(line, sizeof line, "{\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Native\",\"msg\":{\"id\":%s}}\n", id);
  send_line(fd, line, socket);
}
