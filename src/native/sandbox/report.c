#define _GNU_SOURCE
#include "sandbox.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void report_missing(struct im_missing *missing, const char *format, ...) {
  if (missing->count == IM_MAX_MISSING) return;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(missing->lines[missing->count++], IM_MESSAGE_SIZE, format, arguments);
  va_end(arguments);
}

static void append(char *line, size_t size, size_t *length, const char *text) {
  size_t more = strlen(text);
  if (*length + more >= size) return;
  memcpy(line + *length, text, more + 1);
  *length += more;
}

static void append_string(char *line, size_t size, size_t *length, const char *text) {
  append(line, size, length, "\"");
  for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
    char escaped[8];
    if (*c == '"' || *c == '\\') {
      snprintf(escaped, sizeof escaped, "\\%c", *c);
    } else if (*c < 0x20) {
      snprintf(escaped, sizeof escaped, "\\u%04x", *c);
    } else {
      snprintf(escaped, sizeof escaped, "%c", *c);
    }
    append(line, size, length, escaped);
  }
  append(line, size, length, "\"");
}

/*
 * Small enough for the socket's buffer: a platform that does not read must not hold us up, nor must one that is gone.
 */
static void send_line(int fd, const char *line, size_t length) {
  if (fd < 0) return;
  ssize_t written = write(fd, line, length);
  (void)written;
}

static const char *boolean(bool value) { return value ? "true" : "false"; }

static void append_missing(char *line, size_t size, size_t *length, const struct im_missing *missing) {
  append(line, size, length, "\"missing\":[");
  for (int i = 0; i < missing->count; i++) {
    if (i > 0) append(line, size, length, ",");
    append_string(line, size, length, missing->lines[i]);
  }
  append(line, size, length, "]}\n");
}

void report_started(int fd, enum im_mode mode, pid_t pid, const struct im_options *options, bool freezable, bool memory,
                    const struct im_missing *missing) {
  static const char *const modes[] = {"auto", "root", "user", "bare"};
  static const char *const freezers[] = {"sigstop", "v1", "v2"};
  char line[16 * IM_MESSAGE_SIZE], head[IM_MESSAGE_SIZE];
  size_t length = 0;
  bool isolated = mode != IM_MODE_BARE;
  snprintf(head, sizeof head,
           "{\"event\":\"started\",\"mode\":\"%s\",\"pid\":%d,\"isolation\":{\"filesystem\":%s,\"uid\":%s,\"pids\":%s,"
           "\"devShm\":%s,\"freeze\":\"%s\",\"memory\":%s},",
           modes[mode], (int)pid, boolean(isolated), boolean(isolated), boolean(isolated), boolean(isolated),
           freezers[freezable ? options->freezer : IM_FREEZER_SIGSTOP], boolean(memory));
  append(line, sizeof line, &length, head);
  append_missing(line, sizeof line, &length, missing);
  send_line(fd, line, length);
}

void report_failed(int fd, const char *reason, const struct im_missing *missing) {
  char line[16 * IM_MESSAGE_SIZE];
  size_t length = 0;
  append(line, sizeof line, &length, "{\"event\":\"failed\",\"reason\":");
  append_string(line, sizeof line, &length, reason);
  append(line, sizeof line, &length, ",");
  append_missing(line, sizeof line, &length, missing);
  send_line(fd, line, length);
}

void report_answer(int fd, const char *event, bool ok) {
  char line[128];
  int length = snprintf(line, sizeof line, "{\"event\":\"%s\",\"ok\":%s}\n", event, boolean(ok));
  send_line(fd, line, (size_t)length);
}

void report_exit(int fd, int status) {
  char line[128], code[16] = "null", signal[16] = "null";
  if (WIFEXITED(status)) snprintf(code, sizeof code, "%d", WEXITSTATUS(status));
  if (WIFSIGNALED(status)) snprintf(signal, sizeof signal, "%d", WTERMSIG(status));
  int length = snprintf(line, sizeof line, "{\"event\":\"exit\",\"code\":%s,\"signal\":%s}\n", code, signal);
  send_line(fd, line, (size_t)length);
}
