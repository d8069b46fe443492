/* The list of remapped files. Input: u16 length, a path to look up, then the file. */
#include "files/files.c"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct input input = {data, size};
  size_t path_size = number(&input, 2);
  char *path = (char *)piece(&input, &path_size, 1);
  size_t length = input.left;
  char *text = (char *)piece(&input, &length, 1);
  memset(&files, 0, sizeof files);
  read_entries(text, length);
  HOLDS(files.count <= IM_FILES_MOST);
  for (unsigned i = 0; i <= files.count && i < 8; i++) {
    const char *wanted = i < files.count ? files.entries[i].from : path;
    size_t room_size = files_room(wanted);
    char *room = malloc(room_size + 1);
    struct im_pages pages = {0, 0};
    const struct im_file *entry = 0;
    const char *found = room_size ? files_find(AT_FDCWD, wanted, room, room_size, &pages, &entry) : wanted;
    HOLDS(found == wanted || (strlen(found) < PATH_MAX && found[0] == '/'));
    if (entry && found != wanted) {
      char shown_path[PATH_MAX], base[PATH_MAX];
      fuzz_sink += show(entry, strcpy(shown_path, found), base);
    }
    files_drop(&pages);
    free(room);
  }
  free(text);
  free(path);
  return 0;
}
