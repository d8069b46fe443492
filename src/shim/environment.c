#include "environment.h"

#include "abi.h"
#include "init.h"

#include <stdbool.h>
#include <string.h>

#define PRELOAD "LD_PRELOAD="
#define DIRECTORY IM_ENV_DIR "="

/* More than this is left alone rather than copied onto a stack that may be small. */
#define MOST_ENTRIES 16384

static const char *value_of(const char *entry, const char *name) {
  size_t length = strlen(name);
  return strncmp(entry, name, length) == 0 ? entry + length : 0;
}

/* LD_PRELOAD separates by colons and spaces. */
static bool lists(const char *preload, const char *library) {
  size_t length = strlen(library);
  while (*preload) {
    size_t part = strcspn(preload, ": ");
    if (part == length && memcmp(preload, library, length) == 0) return true;
    preload += part;
    preload += strspn(preload, ": ");
  }
  return false;
}

struct im_room environment_room(char *const envp[]) {
  struct im_room room = {0, 0};
  const char *library, *preload = 0;
  bool directory = false;
  size_t count = 0;
  if (!im_active() || !*(library = im_library())) return room;
  for (; envp && envp[count]; count++) {
    const char *value = value_of(envp[count], PRELOAD);
    if (value && !preload) preload = value;
    if (value_of(envp[count], DIRECTORY)) directory = true;
  }
  if (count > MOST_ENTRIES || (directory && preload && lists(preload, library))) return room;
  room.entries = count + 3;
  room.text = sizeof PRELOAD + strlen(library) + 1 + (preload ? strlen(preload) : 0) + sizeof DIRECTORY +
              strlen(im_directory());
  return room;
}

static char *append(char *to, const char *text) {
  size_t length = strlen(text);
  memcpy(to, text, length + 1);
  return to + length;
}

void environment_fill(char *const envp[], char **entries, char *text) {
  const char *preload = 0;
  bool directory = false;
  size_t count = 0;
  for (size_t i = 0; envp && envp[i]; i++) {
    const char *value = value_of(envp[i], PRELOAD);
    if (value) {
      if (!preload) preload = value;
      continue;
    }
    if (value_of(envp[i], DIRECTORY)) directory = true;
    entries[count++] = envp[i];
  }
  entries[count++] = text;
  text = append(text, PRELOAD);
  if (preload && lists(preload, im_library()))
    text = append(text, preload);
  else {
    text = append(text, im_library());
    if (preload && *preload) text = append(append(text, ":"), preload);
  }
  if (!directory) {
    entries[count++] = ++text;
    append(append(text, DIRECTORY), im_directory());
  }
  entries[count] = 0;
}
