/* Every call that takes a path: the path is replaced by where the file really is, the rest is libc's. */
#include "files/files.h"
#include "hook.h"
#include "core/libc_files.h"

#include <fcntl.h>

/* ON(type, name, parameters, the real function's arguments, with `real` for the path) */
#define ON(type, name, parameters, ...) \
  HOOK(type, name, parameters) { \
    IM_FILE(real, AT_FDCWD, path) \
    return libc_##name(__VA_ARGS__); \
  }
#define ON_AT(type, name, parameters, ...) \
  HOOK(type, name, parameters) { \
    IM_FILE(real, dir, path) \
    return libc_##name(__VA_ARGS__); \
  }
#define ON_BOTH(name, dir, to_dir, parameters, ...) \
  HOOK(int, name, parameters) { \
    IM_FILE(real, dir, path) \
    IM_FILE(real_to, to_dir, to) \
    return libc_##name(__VA_ARGS__); \
  }

/* `mode` of open is a variable argument in C, and in the calling conventions of both machines an ordinary one. */
ON(int, open, (const char *path, int flags, mode_t mode), real, flags, mode)
ON(int, open64, (const char *path, int flags, mode_t mode), real, flags, mode)
ON_AT(int, openat, (int dir, const char *path, int flags, mode_t mode), dir, real, flags, mode)
ON_AT(int, openat64, (int dir, const char *path, int flags, mode_t mode), dir, real, flags, mode)
ON(int, creat, (const char *path, mode_t mode), real, mode)
ON(int, creat64, (const char *path, mode_t mode), real, mode)
ON(FILE *, fopen, (const char *path, const char *mode), real, mode)
ON(FILE *, fopen64, (const char *path, const char *mode), real, mode)
ON(FILE *, freopen, (const char *path, const char *mode, FILE *file), real, mode, file)
ON(FILE *, freopen64, (const char *path, const char *mode, FILE *file), real, mode, file)
ON(DIR *, opendir, (const char *path), real)
ON(int, scandir, (const char *path, void *list, void *filter, void *order), real, list, filter, order)
ON(int, scandir64, (const char *path, void *list, void *filter, void *order), real, list, filter, order)
ON_AT(int, scandirat, (int dir, const char *path, void *list, void *filter, void *order), dir, real, list, filter,
      order)
ON(int, chdir, (const char *path), real)
ON(int, inotify_add_watch, (int fd, const char *path, uint32_t mask), fd, real, mask)

ON(int, stat, (const char *path, void *status), real, status)
ON(int, stat64, (const char *path, void *status), real, status)
ON(int, lstat, (const char *path, void *status), real, status)
ON(int, lstat64, (const char *path, void *status), real, status)
ON_AT(int, fstatat, (int dir, const char *path, void *status, int flags), dir, real, status, flags)
ON_AT(int, fstatat64, (int dir, const char *path, void *status, int flags), dir, real, status, flags)
ON_AT(int, statx, (int dir, const char *path, int flags, unsigned mask, void *status), dir, real, flags, mask, status)
ON(int, statfs, (const char *path, void *status), real, status)
ON(int, statfs64, (const char *path, void *status), real, status)
ON(int, statvfs, (const char *path, void *status), real, status)
ON(int, statvfs64, (const char *path, void *status), real, status)
ON(int, access, (const char *path, int mode), real, mode)
ON(int, eaccess, (const char *path, int mode), real, mode)
ON(int, euidaccess, (const char *path, int mode), real, mode)
ON_AT(int, faccessat, (int dir, const char *path, int mode, int flags), dir, real, mode, flags)
ON(ssize_t, readlink, (const char *path, char *text, size_t size), real, text, size)
ON_AT(ssize_t, readlinkat, (int dir, const char *path, char *text, size_t size), dir, real, text, size)

HOOK(char *, realpath, (const char *path, char *text)) { return files_realpath(path, text); }
HOOK(char *, canonicalize_file_name, (const char *path)) { return files_realpath(path, 0); }

ON(int, truncate, (const char *path, off_t size), real, size)
ON(int, truncate64, (const char *path, off_t size), real, size)
ON(int, unlink, (const char *path), real)
ON_AT(int, unlinkat, (int dir, const char *path, int flags), dir, real, flags)
ON(int, remove, (const char *path), real)
ON(int, rmdir, (const char *path), real)
ON(int, mkdir, (const char *path, mode_t mode), real, mode)
ON_AT(int, mkdirat, (int dir, const char *path, mode_t mode), dir, real, mode)
ON(int, chmod, (const char *path, mode_t mode), real, mode)
ON_AT(int, fchmodat, (int dir, const char *path, mode_t mode, int flags), dir, real, mode, flags)
ON(int, chown, (const char *path, uid_t user, gid_t group), real, user, group)
ON(int, lchown, (const char *path, uid_t user, gid_t group), real, user, group)
ON_AT(int, fchownat, (int dir, const char *path, uid_t user, gid_t group, int flags), dir, real, user, group, flags)
ON(int, utime, (const char *path, const void *times), real, times)
ON(int, utimes, (const char *path, const void *times), real, times)
ON_AT(int, utimensat, (int dir, const char *path, const void *times, int flags), dir, real, times, flags)
ON(int, symlink, (const char *text, const char *path), text, real)
ON_AT(int, symlinkat, (const char *text, int dir, const char *path), text, dir, real)
ON_BOTH(rename, AT_FDCWD, AT_FDCWD, (const char *path, const char *to), real, real_to)
ON_BOTH(renameat, dir, to_dir, (int dir, const char *path, int to_dir, const char *to), dir, real, to_dir, real_to)
ON_BOTH(renameat2, dir, to_dir, (int dir, const char *path, int to_dir, const char *to, unsigned flags), dir, real,
        to_dir, real_to, flags)
ON_BOTH(link, AT_FDCWD, AT_FDCWD, (const char *path, const char *to), real, real_to)
ON_BOTH(linkat, dir, to_dir, (int dir, const char *path, int to_dir, const char *to, int flags), dir, real, to_dir,
        real_to, flags)

#ifdef __GLIBC__
/* What programs built for a glibc before 2.33 call for stat, */
ON(int, __xstat, (int version, const char *path, void *status), version, real, status)
ON(int, __xstat64, (int version, const char *path, void *status), version, real, status)
ON(int, __lxstat, (int version, const char *path, void *status), version, real, status)
ON(int, __lxstat64, (int version, const char *path, void *status), version, real, status)
ON_AT(int, __fxstatat, (int version, int dir, const char *path, void *status, int flags), version, dir, real, status,
      flags)
ON_AT(int, __fxstatat64, (int version, int dir, const char *path, void *status, int flags), version, dir, real, status,
      flags)

/* and those built with _FORTIFY_SOURCE. */
ON(int, __open_2, (const char *path, int flags), real, flags)
ON(int, __open64_2, (const char *path, int flags), real, flags)
ON_AT(int, __openat_2, (int dir, const char *path, int flags), dir, real, flags)
ON_AT(int, __openat64_2, (int dir, const char *path, int flags), dir, real, flags)
ON(ssize_t, __readlink_chk, (const char *path, char *text, size_t size, size_t bound), real, text, size, bound)
ON_AT(ssize_t, __readlinkat_chk, (int dir, const char *path, char *text, size_t size, size_t bound), dir, real, text,
      size, bound)
HOOK(char *, __realpath_chk, (const char *path, char *text, size_t size)) {
  if (size < 4096) __builtin_trap();
  return files_realpath(path, text);
}
#endif

HOOK_ALIAS(fopen, _IO_fopen)
HOOK_ALIAS(scandirat, scandirat64)
HOOK_ALIAS(statfs, __statfs)
HOOK_ALIAS(open, __open)
HOOK_ALIAS(open64, __open64)
