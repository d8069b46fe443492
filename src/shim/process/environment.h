/*
 * The environment of programs that the guest starts: LD_PRELOAD and IMAGINARY_DIR are put back where the guest has
 * dropped them. Works on the caller's stack: it runs between fork and exec, and in vfork children.
 */
#ifndef IMAGINARY_ENVIRONMENT_H
#define IMAGINARY_ENVIRONMENT_H

#include "core/shim.h"

#include <stddef.h>

struct im_room {
  size_t entries; /* of the new array, its NULL included; 0: the environment is complete as it is */
  size_t text;    /* bytes for new strings */
};

/* `library`: the build of the shim that the program needs. */
struct im_room environment_room(char *const envp[], const char *library);

void environment_fill(char *const envp[], const char *library, char **entries, char *text);

/* The environment to start with, in scope until the end of the function it is used in. */
#define IM_ENVIRONMENT(name, envp, needed) \
  const char *name##_library = shim_active() ? (needed) : ""; \
  struct im_room name##_room = environment_room(envp, name##_library); \
  char *name##_entries[name##_room.entries + 1]; \
  char name##_text[name##_room.text + 1]; \
  char *const *name = envp; \
  if (name##_room.entries) { \
    environment_fill(envp, name##_library, name##_entries, name##_text); \
    name = name##_entries; \
  }

#endif
