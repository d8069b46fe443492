#include "environment.h"

#include "contract/abi/abi.h"
#include "core/paths.h"
#include "core/pointer.h"

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

/* Whether the name is one of our own files, of either build: only the build that fits may be preloaded. */
static bool is_shim(const char *part, size_t length) {
  static const char *const builds[] = {"/shim-glibc.so", "/shim-musl.so"};
  const char *library = paths_library(), *slash = strrchr(library, '/');
  size_t folder = slash ? (size_t)(slash - library) : 0;
  for (int i = 0; i < 2; i++)
    if (length == folder + strlen(builds[i]) && !memcmp(part, library, folder) &&
        !memcmp(part + folder, builds[i], length - folder))
      return true;
  return length == strlen(library) && !memcmp(part, library, length);
}

struct im_room environment_room(char *const envp[], const char *library) {
  struct im_room room = {0, 0};
  const char *preload = 0;
  bool directory = false;
  size_t count = 0;
  if (!shim_active() || !*library) return room;
  struct im_page array = {0}, text = {0};
  for (; envp; count++) {
    /* What leads nowhere is for the kernel to refuse. */
    if (!pointer_readable(&envp[count], sizeof *envp, &array)) return room;
    if (!envp[count]) break;
    if (!pointer_text(envp[count], &text)) return room;
    const char *value = value_of(envp[count], PRELOAD);
    if (value && !preload) preload = value;
    if (value_of(envp[count], DIRECTORY)) directory = true;
  }
  if (count > MOST_ENTRIES || (directory && preload && lists(preload, library))) return room;
  room.entries = count + 3;
  room.text = sizeof PRELOAD + strlen(library) + 1 + (preload ? strlen(preload) : 0) + sizeof DIRECTORY +
              strlen(paths_directory());
  return room;
}

static char *append(char *to, const char *text, size_t length) {
  memcpy(to, text, length);
  to[length] = 0;
  return to + length;
}

/* Ours, then what else the guest preloads. */
static char *append_preload(char *to, const char *preload, const char *library) {
  to = append(to, PRELOAD, strlen(PRELOAD));
  if (preload && lists(preload, library)) return append(to, preload, strlen(preload));
  to = append(to, library, strlen(library));
  while (preload && *preload) {
    size_t part = strcspn(preload, ": ");
    if (part && !is_shim(preload, part)) to = append(append(to, ":", 1), preload, part);
    preload += part;
    preload += strspn(preload, ": ");
  }
  return to;
}

void environment_fill(char *const envp[], const char *library, char **entries, char *text) {
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
  text = append_preload(text, preload, library);
  if (!directory) {
    entries[count++] = ++text;
    append(append(text, DIRECTORY, strlen(DIRECTORY)), paths_directory(), strlen(paths_directory()));
  }
  entries[count] = 0;
}
