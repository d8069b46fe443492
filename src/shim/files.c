#include "files.h"

#include "abi.h"
#include "libc_files.h"

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
#include <unistd.h>

/* No file of remaps is larger: IM_FILES_MOST pairs of the longest paths. */
#define LARGEST (IM_FILES_MOST * 2u * PATH_MAX)

static struct {
  struct im_file entries[IM_FILES_MOST];
  unsigned count;
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
  files.entries[files.count++] = (struct im_file){from, to, from_length, to_length};
}

/* A copy of its own, so that nobody can change or cut it under this process. */
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

size_t files_room(const char *path) {
  if (!files.count || !path) return 0;
  /* Whatever leads to a remapped path by name has the last name of that path in it. */
  while (*path) {
    unsigned hash;
    if (*path == '/') {
      path++;
      continue;
    }
    path = hash_name(path, &hash);
    if (files.names[hash / 64] >> hash % 64 & 1) return PATH_MAX;
  }
  return 0;
}

/* Appends the names of `path` to the absolute path in `whole`; `.` and `..` are resolved by name. */
static bool append_names(char *whole, size_t *length, const char *path) {
  while (*path) {
    size_t name = strcspn(path, "/");
    if (name == 2 && path[0] == '.' && path[1] == '.') {
      while (*length && whole[--*length] != '/') continue;
    } else if (name && !(name == 1 && path[0] == '.')) {
      if (*length + 1 + name >= PATH_MAX) return false;
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
static bool start_of(int dir, char *whole, size_t *length) {
  char link[32];
  if (dir == AT_FDCWD) {
    if (!getcwd(whole, PATH_MAX)) return false;
    *length = strlen(whole);
  } else {
    snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
    ssize_t got = libc_readlink(link, whole, PATH_MAX - 1);
    if (got < 0) return false;
    *length = (size_t)got;
  }
  if (*length == 1) *length = 0; /* the root */
  return !*length || whole[0] == '/';
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

const char *files_find(int dir, const char *path, char *room, const struct im_file **entry) {
  char whole[PATH_MAX];
  size_t length = 0;
  int saved = errno;
  bool known = (path[0] == '/' || start_of(dir, whole, &length)) && append_names(whole, &length, path);
  errno = saved;
  const struct im_file *found = known ? entry_of(whole, length) : 0;
  if (entry) *entry = found;
  if (!found) return path;
  size_t rest = length - found->from_length;
  bool slash = path[strlen(path) - 1] == '/';
  if (found->to_length + rest + slash >= PATH_MAX) return path;
  memcpy(room, found->to, found->to_length);
  memcpy(room + found->to_length, whole + found->from_length, rest + 1);
  if (slash) memcpy(room + found->to_length + rest, "/", 2);
  return room;
}

/* The real path `text`, beneath what `entry` stands for, as the guest knows it; NULL: it is elsewhere, or too long. */
static char *shown(const struct im_file *entry, const char *text, char *room) {
  char base[PATH_MAX];
  if (!libc_realpath(entry->to, base)) return 0;
  size_t length = strlen(base), whole = strlen(text);
  if (strncmp(text, base, length) || (text[length] && text[length] != '/')) return 0;
  if (entry->from_length + whole - length >= PATH_MAX) return 0;
  memcpy(room, entry->from, entry->from_length);
  memcpy(room + entry->from_length, text + length, whole - length + 1);
  return room;
}

/* For a path that is remapped, and so for few: it needs three of the longest paths on the stack. */
static __attribute__((noinline)) char *remapped_realpath(const char *path, char *text) {
  char where[PATH_MAX], real[PATH_MAX];
  const struct im_file *entry;
  const char *found = files_find(AT_FDCWD, path, where, &entry);
  if (found == path || !libc_realpath(found, real)) return found == path ? libc_realpath(path, text) : 0;
  int saved = errno;
  char *result = shown(entry, real, where) ? where : real;
  errno = saved;
  return text ? strcpy(text, result) : strdup(result);
}

char *files_realpath(const char *path, char *text) {
  return files_room(path) ? remapped_realpath(path, text) : libc_realpath(path, text);
}
