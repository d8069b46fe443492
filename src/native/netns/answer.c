#define _GNU_SOURCE
#include "base/rights.h"
#include "netns.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A platform that is gone is seen at the control descriptor. */
static void send_line(int fd, const char *line, int socket) {
  rights_send(fd, line, strlen(line), &socket, socket >= 0, 0);
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
  char line[2 * IM_MESSAGE_SIZE + 64], text[2 * IM_MESSAGE_SIZE + 1];
  size_t length = 0;
  for (const unsigned char *c = (const unsigned char *)fail_message; *c; c++) {
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
