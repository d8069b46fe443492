#include "leftover.h"

#include "core/libc_files.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define TICKS 100u              /* in a second, of what is shown to users (USER_HZ) */
#define TIME_WAIT (60u * TICKS) /* TCP_TIMEWAIT_LEN */
#define TIME_WAIT_TIMER 3u

/* A line is some 150 bytes, and 180 of IPv6. */
struct lines {
  int fd;
  size_t size, at;
  char bytes[1024];
};

/* NULL at the end. */
static const char *next_line(struct lines *lines) {
  for (;;) {
    char *end = memchr(lines->bytes + lines->at, '\n', lines->size - lines->at);
    if (end) {
      const char *line = lines->bytes + lines->at;
      *end = 0;
      lines->at = (size_t)(end - lines->bytes) + 1;
      return line;
    }
    memmove(lines->bytes, lines->bytes + lines->at, lines->size - lines->at);
    lines->size -= lines->at;
    lines->at = 0;
    ssize_t got = lines->size < sizeof lines->bytes
                      ? read(lines->fd, lines->bytes + lines->size, sizeof lines->bytes - lines->size)
                      : 0;
    if (got <= 0) return 0;
    lines->size += (size_t)got;
  }
}

struct found {
  unsigned past, present;
};

static void look_at(const char *line, const char *place, uint32_t lived, struct found *found) {
  unsigned timer, left;
  const char *local = strchr(line, ':');
  if (!local || strncmp(local + 2, place, strlen(place)) != 0) return;
  /* After the local address: the other one, the state, the queues, and the timer with what is left of it. */
  bool waits = sscanf(local + 2 + strlen(place), " %*s %*x %*x:%*x %x:%x", &timer, &left) == 2 &&
               timer == TIME_WAIT_TIMER;
  if (waits && left <= TIME_WAIT && TIME_WAIT - left > lived)
    found->past++;
  else
    found->present++;
}

static bool look_in(const char *path, const char *place, uint32_t lived, struct found *found) {
  struct lines lines = {.fd = libc_open(path, O_RDONLY | O_CLOEXEC, 0)};
  if (lines.fd < 0) return false;
  for (const char *line; (line = next_line(&lines));) look_at(line, place, lived, found);
  libc_close(lines.fd);
  return true;
}

bool leftover_only(uint32_t real, uint16_t real_port, uint32_t started) {
  char place[16], place6[48];
  struct timespec now;
  struct found found = {0, 0};
  if (!started || clock_gettime(CLOCK_MONOTONIC, &now) != 0) return false;
  uint32_t lived = (uint32_t)((uint64_t)now.tv_sec * TICKS + (uint64_t)now.tv_nsec / (1000000000 / TICKS)) - started;
  snprintf(place, sizeof place, "%08X:%04X ", htonl(real), real_port);
  snprintf(place6, sizeof place6, "0000000000000000%08X%s", htonl(0xffff), place);
  if (!look_in("/proc/net/tcp", place, lived, &found)) return false;
  look_in("/proc/net/tcp6", place6, lived, &found);
  return found.past && !found.present;
}
