/* Environments for programs that a guest starts. Input: its entries, each ended by a NUL. */
#include "process/environment.h"

#include "fuzz.h"

static bool has(char **entries, const char *wanted) {
  for (; *entries; entries++)
    if (!strncmp(*entries, wanted, strlen(wanted))) return true;
  return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct input input = {data, size};
  size_t length = input.left, count = 0;
  char *texts = (char *)piece(&input, &length, 1);
  char **envp = malloc((length + 2) * sizeof *envp);
  for (size_t at = 0; at < length; at += strlen(texts + at) + 1) envp[count++] = texts + at;
  envp[count] = 0;
  struct im_room room = environment_room(envp, paths_library());
  if (room.entries) {
    char **entries = malloc(room.entries * sizeof *entries), *text = malloc(room.text);
    environment_fill(envp, paths_library(), entries, text);
    HOLDS(has(entries, "LD_PRELOAD=") && has(entries, "IMAGINARY_DIR="));
    /* What is complete stays as it is. */
    struct im_room again = environment_room(entries, paths_library());
    HOLDS(!again.entries || count > 16384 - 3);
    free(text);
    free(entries);
  } else
    HOLDS(count > 16384 || (has(envp, "LD_PRELOAD=") && has(envp, "IMAGINARY_DIR=")));
  free(envp);
  free(texts);
  return 0;
}
