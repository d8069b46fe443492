#include "files.h"

#include "contract/abi/abi.h"
#include "core/libc_files.h"
#include "core/pointer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* No file of remaps is larger: IM_FILES_MOST pairs of the longest paths. */
#define LARGEST (IM_FILES_MOST * 2u * PATH_MAX)

static struct {
  struct im_file entries[IM_FILES_MOST];
  unsigned count;
  size_t longest;    /* of what paths are replaced by */
  uint64_t names[8]; /* a set of hashes: the last names of all entries' paths */
} files;

static bool usable_path(const char *path, size_t length) { return path[0] == '/' && length > 1 && length < PATH_MAX; }

/* The name that starts at `path` has been hashed up to its end, which is returned. */
static const char *hash_name(const char *path, unsigned *hash) {
  unsigned sum = 0;
  while (*path && *path != '/') sum = sum * 33 + (unsigned char)*path++;
  *hash = (sum ^ sum >> 9) & 511;
  return path;
}

static void add(const char *from, size_t from_length, const char *to, size_t to_length) {
  unsigned hash;
  if (files.count == IM_FILES_MOST || !usable_path(from, from_length) || !usable_path(to, to_length)) return;
  hash_name(strrchr(from, '/') + 1, &hash);
  files.names[hash / 64] |= 1ull << hash % 64;
  if (to_length > files.longest) files.longest = to_length;
  files.entries[files.count++] = (struct im_file){from, to, from_length, to_length};
}

/* A copy of its own, which no other process can change or cut. */
static char *read_whole(const char *path, size_t *size) {
  struct stat status;
  char *text = 0;
  int fd = libc_open(path, O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) return 0;
  if (fstat(fd, &status) == 0 && status.st_size > 0 && status.st_size <= (off_t)LARGEST) {
    *size = (size_t)status.st_size;
    void *map = mmap(0, *size + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map != MAP_FAILED && read(fd, map, *size) == (ssize_t)*size) text = map;
  }
  libc_close(fd);
  return text;
}

/* A NUL stands behind the end. */
static void read_entries(const char *at, size_t size) {
  const char *end = at + size;
  if (size < sizeof IM_FILES_MAGIC || memcmp(at, IM_FILES_MAGIC, sizeof IM_FILES_MAGIC)) return;
  for (at += sizeof IM_FILES_MAGIC; at < end;) {
    size_t from_length = strlen(at);
    const char *to = at + from_length + 1;
    if (to >= end) return;
    size_t to_length = strlen(to);
    add(at, from_length, to, to_length);
    at = to + to_length + 1;
  }
}

void files_open(const char *directory) {
  char path[PATH_MAX + 16];
  size_t size = 0;
  snprintf(path, sizeof path, "%s/" IM_FILES_FILE, directory);
  const char *text = read_whole(path, &size);
  if (text) read_entries(text, size);
}

/* ---- room for a path ---- */

static bool take_pages(struct im_pages *pages, size_t size) {
  void *start = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (start == MAP_FAILED) return false;
  *pages = (struct im_pages){start, size};
  return true;
}

void files_drop(const struct im_pages *pages) {
  IM_KEEP_ERRNO;
  if (pages->start) munmap(pages->start, pages->size);
}

/* Of a directory that a relative path starts from; few have a longer name. */
#define DIRECTORY 256

size_t files_room(const char *path) {
  struct im_page found = {0};
  if (!files.count || !path || !pointer_text(path, &found)) return 0;
  /* Whatever leads to a remapped path by name has the last name of that path in it. */
  for (const char *at = path; *at;) {
    unsigned hash;
    if (*at == '/') {
      at++;
      continue;
    }
    at = hash_name(at, &hash);
    if (!(files.names[hash / 64] >> hash % 64 & 1)) continue;
    size_t room = files.longest + (path[0] == '/' ? 0 : DIRECTORY) + strlen(path) + sizeof "/";
    return room < IM_FILES_STACK ? room : 1;
  }
  return 0;
}

/* ---- where a path is ---- */

/*
 * Appends the names of `path` to the absolute path in `whole`; `.` and `..` are resolved by name. There is room for a
 * slash.
 */
static bool append_names(char *whole, size_t size, size_t *length, const char *path) {
  while (*path) {
    size_t name = strcspn(path, "/");
    if (name == 2 && path[0] == '.' && path[1] == '.') {
      while (*length && whole[--*length] != '/') continue;
    } else if (name && !(name == 1 && path[0] == '.')) {
      if (*length + 1 + name + sizeof "/" > size) return false;
      whole[(*length)++] = '/';
      memcpy(whole + *length, path, name);
      *length += name;
    }
    path += name;
    if (*path) path++;
  }
  whole[*length] = 0;
  return true;
}

/* The directory that a relative path starts from. */
static bool start_of(int dir, char *whole, size_t size, size_t *length) {
  char link[32];
  if (dir == AT_FDCWD) {
    long got = libc_syscall(SYS_getcwd, (long)(intptr_t)whole, (long)size, 0, 0, 0, 0);
    if (got <= 0) return false;
    *length = (size_t)got - 1;
  } else {
    snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
    ssize_t got = libc_readlink(link, whole, size);
    if (got <= 0 || (size_t)got == size) return false;
    *length = (size_t)got;
  }
  if (whole[0] != '/') return false;
  if (*length == 1) *length = 0; /* the root */
  return true;
}

static const struct im_file *entry_of(const char *whole, size_t length) {
  const struct im_file *best = 0;
  for (unsigned i = 0; i < files.count; i++) {
    const struct im_file *at = &files.entries[i];
    if (at->from_length <= length && (!best || at->from_length > best->from_length) &&
        !memcmp(whole, at->from, at->from_length) && (!whole[at->from_length] || whole[at->from_length] == '/'))
      best = at;
  }
  return best;
}

/*
 * False: the room is too small, or the path leads nowhere. What the path is remapped to is written before the rest of
 * it.
 */
static bool find_in(char *room, size_t size, int dir, const char *path, const char **result,
                    const struct im_file **entry) {
  if (size <= files.longest) return false;
  char *whole = room + files.longest;
  size_t length = 0;
  size -= files.longest;
  if ((path[0] != '/' && !start_of(dir, whole, size, &length)) || !append_names(whole, size, &length, path))
    return false;
  const struct im_file *found = entry_of(whole, length);
  if (entry) *entry = found;
  if (!found) return true;
  bool slash = path[strlen(path) - 1] == '/';
  if (found->to_length + length - found->from_length + slash >= PATH_MAX) return true;
  if (slash) memcpy(whole + length, "/", sizeof "/");
  char *start = whole + found->from_length - found->to_length;
  memcpy(start, found->to, found->to_length);
  *result = start;
  return true;
}

const char *files_find(int dir, const char *path, char *room, size_t size, struct im_pages *pages,
                       const struct im_file **entry) {
  IM_KEEP_ERRNO;
  const char *result = path;
  if (entry) *entry = 0;
  if (!find_in(room, size, dir, path, &result, entry) && take_pages(pages, files.longest + PATH_MAX + 1))
    find_in(pages->start, pages->size, dir, path, &result, entry);
  return result;
}

/*
 * The real path `text`, beneath what `entry` stands for, as the guest knows it, in place; false: it is elsewhere, or
 * too long.
 */
static bool show(const struct im_file *entry, char *text, char *base) {
  if (!libc_realpath(entry->to, base)) return false;
  size_t length = strlen(base), whole = strlen(text);
  if (strncmp(text, base, length) || (text[length] && text[length] != '/')) return false;
  if (entry->from_length + whole - length >= PATH_MAX) return false;
  memmove(text + entry->from_length, text + length, whole - length + 1);
  memcpy(text, entry->from, entry->from_length);
  return true;
}

static __attribute__((noinline)) char *remapped_realpath(const char *path, size_t size, char *text) {
  char room[size];
  __attribute__((cleanup(files_drop))) struct im_pages pages = {0, 0}, paths = {0, 0};
  const struct im_file *entry;
  const char *found = files_find(AT_FDCWD, path, room, size, &pages, &entry);
  if (found == path) return libc_realpath(path, text);
  if (!take_pages(&paths, (size_t)PATH_MAX * 2)) return 0;
  char *real = paths.start;
  if (!libc_realpath(found, real)) return 0;
  int saved = errno;
  (void)show(entry, real, real + PATH_MAX);
  errno = saved;
  return text ? strcpy(text, real) : strdup(real);
}

char *files_realpath(const char *path, char *text) {
  size_t size = files_room(path);
  return size ? remapped_realpath(path, size, text) : libc_realpath(path, text);
}
