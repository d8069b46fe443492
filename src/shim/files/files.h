/*
 * Remapped files: paths that are somewhere else in truth, each with everything beneath it. Looked up by name alone: a
 * symbolic link that leads to a remapped path is not followed into it. Usable between fork and exec.
 */
#ifndef IMAGINARY_FILES_H
#define IMAGINARY_FILES_H

#include <stddef.h>

struct im_file {
  const char *from, *to;
  size_t from_length, to_length;
};

/* Reads DIRECTORY/files. Missing or damaged: nothing is remapped. */
void files_open(const char *directory);

/*
 * Bytes of stack that a path may take, which may be that of a small signal stack. A longer one gets pages of its own.
 */
#define IM_FILES_STACK 1024

struct im_pages {
  void *start;
  size_t size;
};

void files_drop(const struct im_pages *pages);

/* Bytes of room that files_find is best given for this path; 0: it certainly is not remapped, or leads nowhere. */
size_t files_room(const char *path);

/*
 * Where the path (from directory `dir`, when relative) is: in `room`, in `pages` when that is too small, or the path
 * itself. `entry`, if not NULL: what it is remapped by.
 */
const char *files_find(int dir, const char *path, char *room, size_t size, struct im_pages *pages,
                       const struct im_file **entry);

/* realpath, with the paths that the guest knows. */
char *files_realpath(const char *path, char *text);

/* `real`: where `path` is, in scope until the end of the function it is used in. */
#define IM_FILE(real, dir, path) \
  size_t real##_size = files_room(path); \
  char real##_room[real##_size + 1]; \
  __attribute__((cleanup(files_drop))) struct im_pages real##_pages = {0, 0}; \
  const char *real = real##_size ? files_find(dir, path, real##_room, real##_size, &real##_pages, 0) : path;

#endif
