#define _GNU_SOURCE
#include "netns.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_SIZE 16384
#define MAX_FILTERS 64
#define MAX_WORDS 8

static int answers;

/* A filter that is being set, and the command that waits for it. */
static struct pending {
  bool used;
  char id[16];
  struct im_filter filter;
} pending[MAX_FILTERS];

static void answer(const char *id, bool ok) {
  if (ok)
    answer_done(answers, id);
  else
    answer_failed(answers, id);
}

static void finish(struct pending *one) {
  one->used = false;
  answer(one->id, filter_finish(&one->filter));
}

static struct pending *place_for_filter(void) {
  for (int i = 0; i < MAX_FILTERS; i++) {
    if (!pending[i].used) return &pending[i];
  }
  finish(&pending[0]); /* waits for it */
  return &pending[0];
}

static void filter(const char *id, const struct im_space *space, const char *text) {
  struct pending *one = place_for_filter();
  if (!filter_start(space, text, &one->filter)) return answer(id, false);
  one->used = true;
  snprintf(one->id, sizeof one->id, "%s", id);
}

static void hand_socket(const char *id, bool ok, int fd) {
  if (!ok) return answer(id, false);
  answer_socket(answers, id, fd);
  close(fd);
}

static void make(const char *id, const char *number) {
  char path[64];
  if (space_make(number, path, sizeof path))
    answer_path(answers, id, path);
  else
    answer(id, false);
}

/* `words` are what follows the verb, the first of them a space; NULL where there are none. */
static void obey(const char *id, const char *verb, char **words) {
  int fd = -1;
  if (strcmp(verb, "space") == 0) return make(id, words[0]);
  struct im_space *space = space_find(words[0]);
  if (!space) return answer(id, false);
  bool add = strncmp(verb, "no-", 3) != 0;
  const char *what = add ? verb : verb + 3;
  if (strcmp(what, "close") == 0) return space_close(space), answer(id, true);
  if (strcmp(what, "forget") == 0) return answer(id, links_forget_mappings(space));
  if (strcmp(what, "delay") == 0) return answer(id, delay_set(space, words[1]));
  if (strcmp(what, "forward") == 0) return answer(id, links_set_forwarding(space, words[1]));
  if (strcmp(what, "address") == 0) return answer(id, links_change_address(space, add, words[1], words[2]));
  if (strcmp(what, "route") == 0) return answer(id, links_change_route(space, add, words[1], words[2], words[3], 0));
  if (strcmp(what, "silence") == 0) return answer(id, links_silence(space, add, words[1], words[2]));
  if (strcmp(what, "listen") == 0) return hand_socket(id, space_listen(space, words[1], words[2], &fd), fd);
  if (strcmp(what, "dial") == 0) return hand_socket(id, space_dial(space, words[1], words[2], &fd), fd);
  if (strcmp(what, "link") == 0) {
    const struct im_space *other = space_find(words[2]);
    return answer(id, other && links_add(space, words[1], other, words[3]));
  }
  fail(0, "there is no command '%s'", verb);
  answer(id, false);
}

static int words_needed(const char *verb) {
  static const struct {
    const char *verb;
    int words;
  } known[] = {{"link", 4},       {"address", 3}, {"no-address", 3}, {"route", 3},  {"no-route", 3}, {"silence", 3},
               {"no-silence", 3}, {"forward", 2}, {"delay", 2},      {"listen", 3}, {"dial", 3}};
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
    if (strcmp(known[i].verb, verb) == 0) return known[i].words;
  }
  return 1;
}

static void read_line(char *line) {
  char *rest = line, *id = strsep(&rest, " "), *verb = rest ? strsep(&rest, " ") : NULL;
  if (!verb) return;
  if (strcmp(verb, "filter") == 0 && rest) {
    const char *number = strsep(&rest, " ");
    const struct im_space *space = space_find(number);
    if (space && rest) return filter(id, space, rest);
    return answer(id, false);
  }
  char *words[MAX_WORDS + 1] = {NULL};
  int count = 0;
  while (rest && count < MAX_WORDS) words[count++] = strsep(&rest, " ");
  if (count < words_needed(verb)) {
    fail(0, "'%s' needs %d words", verb, words_needed(verb));
    return answer(id, false);
  }
  obey(id, verb, words);
}

/* False: the platform is gone. */
static bool read_commands(int control) {
  static char buffer[LINE_SIZE];
  static size_t used;
  ssize_t length = read(control, buffer + used, sizeof buffer - used);
  if (length < 0) return errno == EINTR || errno == EAGAIN;
  if (length == 0) return false;
  used += (size_t)length;
  char *start = buffer;
  for (char *end; (end = memchr(start, '\n', used - (size_t)(start - buffer))); start = end + 1) {
    *end = '\0';
    read_line(start);
  }
  used -= (size_t)(start - buffer);
  memmove(buffer, start, used);
  return used < sizeof buffer;
}

/* Node.js acknowledges each handle. */
static bool read_acknowledgements(void) {
  char ignored[1024];
  ssize_t length = read(answers, ignored, sizeof ignored);
  return length > 0 || (length < 0 && (errno == EINTR || errno == EAGAIN));
}

int hold(int control, int to) {
  answers = to;
  fcntl(control, F_SETFD, FD_CLOEXEC);
  fcntl(answers, F_SETFD, FD_CLOEXEC);
  bool user;
  if (!space_begin(&user)) return answer_failed(answers, NULL), 1;
  answer_ready(answers, user);
  for (bool acknowledged = true;;) {
    struct pollfd polled[2 + MAX_FILTERS] = {{.fd = control, .events = POLLIN},
                                             {.fd = acknowledged ? answers : -1, .events = POLLIN}};
    for (int i = 0; i < MAX_FILTERS; i++) {
      polled[2 + i] = (struct pollfd){.fd = pending[i].used ? pending[i].filter.output : -1, .events = POLLIN};
    }
    if (poll(polled, 2 + MAX_FILTERS, -1) < 0) continue;
    if (polled[0].revents && !read_commands(control)) return 0;
    if (polled[1].revents) acknowledged = read_acknowledgements();
    for (int i = 0; i < MAX_FILTERS; i++) {
      if (polled[2 + i].revents && pending[i].used) finish(&pending[i]);
    }
  }
}
