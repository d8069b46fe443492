/* The real functions behind the hooks of hooks_files.c and hooks_interfaces.c; as libc.h, which see. */
#ifndef IMAGINARY_LIBC_FILES_H
#define IMAGINARY_LIBC_FILES_H

#include "libc.h"

#include <dirent.h>
#include <ifaddrs.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* The structures of stat and statx are only passed on; older headers lack some of them. */
#define IM_LIBC_FILE_FUNCTIONS(X) \
  X(int, open, (const char *path, int flags, mode_t mode), (path, flags, mode), -1) \
  X(int, open64, (const char *path, int flags, mode_t mode), (path, flags, mode), -1) \
  X(int, openat, (int dir, const char *path, int flags, mode_t mode), (dir, path, flags, mode), -1) \
  X(int, openat64, (int dir, const char *path, int flags, mode_t mode), (dir, path, flags, mode), -1) \
  X(int, __open_2, (const char *path, int flags), (path, flags), -1) \
  X(int, __open64_2, (const char *path, int flags), (path, flags), -1) \
  X(int, __openat_2, (int dir, const char *path, int flags), (dir, path, flags), -1) \
  X(int, __openat64_2, (int dir, const char *path, int flags), (dir, path, flags), -1) \
  X(int, creat, (const char *path, mode_t mode), (path, mode), -1) \
  X(int, creat64, (const char *path, mode_t mode), (path, mode), -1) \
  X(FILE *, fopen, (const char *path, const char *mode), (path, mode), 0) \
  X(FILE *, fopen64, (const char *path, const char *mode), (path, mode), 0) \
  X(FILE *, freopen, (const char *path, const char *mode, FILE *file), (path, mode, file), 0) \
  X(FILE *, freopen64, (const char *path, const char *mode, FILE *file), (path, mode, file), 0) \
  X(int, stat, (const char *path, void *status), (path, status), -1) \
  X(int, stat64, (const char *path, void *status), (path, status), -1) \
  X(int, lstat, (const char *path, void *status), (path, status), -1) \
  X(int, lstat64, (const char *path, void *status), (path, status), -1) \
  X(int, fstatat, (int dir, const char *path, void *status, int flags), (dir, path, status, flags), -1) \
  X(int, fstatat64, (int dir, const char *path, void *status, int flags), (dir, path, status, flags), -1) \
  X(int, __xstat, (int version, const char *path, void *status), (version, path, status), -1) \
  X(int, __xstat64, (int version, const char *path, void *status), (version, path, status), -1) \
  X(int, __lxstat, (int version, const char *path, void *status), (version, path, status), -1) \
  X(int, __lxstat64, (int version, const char *path, void *status), (version, path, status), -1) \
  X(int, __fxstatat, (int version, int dir, const char *path, void *status, int flags), \
    (version, dir, path, status, flags), -1) \
  X(int, __fxstatat64, (int version, int dir, const char *path, void *status, int flags), \
    (version, dir, path, status, flags), -1) \
  X(int, statx, (int dir, const char *path, int flags, unsigned mask, void *status), (dir, path, flags, mask, status), \
    -1) \
  X(int, statfs, (const char *path, void *status), (path, status), -1) \
  X(int, statfs64, (const char *path, void *status), (path, status), -1) \
  X(int, statvfs, (const char *path, void *status), (path, status), -1) \
  X(int, statvfs64, (const char *path, void *status), (path, status), -1) \
  X(int, access, (const char *path, int mode), (path, mode), -1) \
  X(int, eaccess, (const char *path, int mode), (path, mode), -1) \
  X(int, euidaccess, (const char *path, int mode), (path, mode), -1) \
  X(int, faccessat, (int dir, const char *path, int mode, int flags), (dir, path, mode, flags), -1) \
  X(ssize_t, readlink, (const char *path, char *text, size_t size), (path, text, size), -1) \
  X(ssize_t, readlinkat, (int dir, const char *path, char *text, size_t size), (dir, path, text, size), -1) \
  X(ssize_t, __readlink_chk, (const char *path, char *text, size_t size, size_t real), (path, text, size, real), -1) \
  X(ssize_t, __readlinkat_chk, (int dir, const char *path, char *text, size_t size, size_t real), \
    (dir, path, text, size, real), -1) \
  X(char *, realpath, (const char *path, char *text), (path, text), 0) \
  X(DIR *, opendir, (const char *path), (path), 0) \
  X(int, scandir, (const char *path, void *list, void *filter, void *order), (path, list, filter, order), -1) \
  X(int, scandir64, (const char *path, void *list, void *filter, void *order), (path, list, filter, order), -1) \
  X(int, scandirat, (int dir, const char *path, void *list, void *filter, void *order), \
    (dir, path, list, filter, order), -1) \
  X(int, chdir, (const char *path), (path), -1) \
  X(int, truncate, (const char *path, off_t size), (path, size), -1) \
  X(int, truncate64, (const char *path, off_t size), (path, size), -1) \
  X(int, unlink, (const char *path), (path), -1) \
  X(int, unlinkat, (int dir, const char *path, int flags), (dir, path, flags), -1) \
  X(int, remove, (const char *path), (path), -1) \
  X(int, rmdir, (const char *path), (path), -1) \
  X(int, mkdir, (const char *path, mode_t mode), (path, mode), -1) \
  X(int, mkdirat, (int dir, const char *path, mode_t mode), (dir, path, mode), -1) \
  X(int, chmod, (const char *path, mode_t mode), (path, mode), -1) \
  X(int, fchmodat, (int dir, const char *path, mode_t mode, int flags), (dir, path, mode, flags), -1) \
  X(int, chown, (const char *path, uid_t user, gid_t group), (path, user, group), -1) \
  X(int, lchown, (const char *path, uid_t user, gid_t group), (path, user, group), -1) \
  X(int, fchownat, (int dir, const char *path, uid_t user, gid_t group, int flags), (dir, path, user, group, flags), \
    -1) \
  X(int, utime, (const char *path, const void *times), (path, times), -1) \
  X(int, utimes, (const char *path, const void *times), (path, times), -1) \
  X(int, utimensat, (int dir, const char *path, const void *times, int flags), (dir, path, times, flags), -1) \
  X(int, rename, (const char *path, const char *to), (path, to), -1) \
  X(int, renameat, (int dir, const char *path, int to_dir, const char *to), (dir, path, to_dir, to), -1) \
  X(int, renameat2, (int dir, const char *path, int to_dir, const char *to, unsigned flags), \
    (dir, path, to_dir, to, flags), -1) \
  X(int, link, (const char *path, const char *to), (path, to), -1) \
  X(int, linkat, (int dir, const char *path, int to_dir, const char *to, int flags), (dir, path, to_dir, to, flags), \
    -1) \
  X(int, symlink, (const char *text, const char *path), (text, path), -1) \
  X(int, symlinkat, (const char *text, int dir, const char *path), (text, dir, path), -1) \
  X(int, inotify_add_watch, (int fd, const char *path, uint32_t mask), (fd, path, mask), -1) \
  X(long, syscall, (long number, long a, long b, long c, long d, long e, long f), (number, a, b, c, d, e, f), -1) \
  X(int, getifaddrs, (struct ifaddrs * *list), (list), -1) \
  X(int, ioctl, (int fd, unsigned long request, void *argument), (fd, request, argument), -1)

#define IM_DECLARE(type, name, parameters, arguments, missing) type libc_##name parameters;
IM_LIBC_FILE_FUNCTIONS(IM_DECLARE)
#undef IM_DECLARE

void libc_freeifaddrs(struct ifaddrs *list);

#endif
