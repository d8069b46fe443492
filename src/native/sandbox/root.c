#define _GNU_SOURCE
#include "sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * How: a tmpfs becomes the root, with the real one at OLD and the sandbox's at NEW; sources are bound from OLD to NEW;
 * everything at NEW is made read-only; then NEW becomes the root and the rest is let go. Sources are made real
 * (realpath) beforehand: a symbolic link would lead elsewhere once the root has moved.
 */
#define BASE "/tmp"
#define OLD "/old"
#define NEW "/new"
#define TMP_SIZE "512m"

#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#define ATTR_RDONLY 0x1
#define ATTR_NOSUID 0x2
#define AT_RECURSIVE_MOUNT 0x8000
struct mount_attributes {
  uint64_t set, clear, propagation, userns;
};

/* Programs and their libraries and configuration: the machine's own, like Lambda's base image. */
static const char *const SYSTEM[] = {"bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "etc", "nix", "snap"};
static const char *const DEVICES[] = {"null", "zero", "full", "random", "urandom"};

static bool join(char to[PATH_MAX], const char *a, const char *b) {
  int length = snprintf(to, PATH_MAX, "%s%s%s", a, b[0] == '/' ? "" : "/", b);
  return (length > 0 && length < PATH_MAX) || fail(0, "path too long: %s%s", a, b);
}

/* mkdir -p; with `leaf` false the last component is left out. */
static bool make_path(const char *path, bool leaf) {
  char part[PATH_MAX];
  for (const char *slash = path + 1;; slash++) {
    bool end = *slash == '\0';
    if (!end && *slash != '/') continue;
    if (end && !leaf) return true;
    memcpy(part, path, (size_t)(slash - path));
    part[slash - path] = '\0';
    if (mkdir(part, 0755) != 0 && errno != EEXIST) return fail(errno, "mkdir %s", part);
    if (end) return true;
  }
}

/* `source` is real and seen from the old root; `target` from the sandbox's. */
static bool bind(const char *source, const char *target) {
  char from[PATH_MAX], to[PATH_MAX];
  struct stat what, there;
  if (!join(from, OLD, source) || !join(to, NEW, target)) return false;
  if (stat(from, &what) != 0) return fail(errno, "bind %s", source);
  if (stat(to, &there) != 0) {
    if (!make_path(to, S_ISDIR(what.st_mode))) return false;
    if (!S_ISDIR(what.st_mode)) {
      int fd = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
      if (fd < 0) return fail(errno, "create %s", target);
      close(fd);
    }
  }
  return mount(from, to, NULL, MS_BIND | MS_REC, NULL) == 0 || fail(errno, "bind %s to %s", source, target);
}

static bool link_to(const char *text, const char *target) {
  char to[PATH_MAX];
  if (!join(to, NEW, target) || !make_path(to, false)) return false;
  return symlink(text, to) == 0 || fail(errno, "symlink %s", target);
}

/* A link stays a link; anything else is bound. */
static bool replicate(const char *path) {
  char old[PATH_MAX], text[PATH_MAX];
  if (!join(old, OLD, path)) return false;
  ssize_t length = readlink(old, text, sizeof text - 1);
  if (length < 0) return bind(path, path);
  text[length] = '\0';
  return link_to(text, path);
}

static bool add_system(void) {
  for (size_t i = 0; i < sizeof SYSTEM / sizeof SYSTEM[0]; i++) {
    char path[64], old[PATH_MAX];
    struct stat what;
    snprintf(path, sizeof path, "/%s", SYSTEM[i]);
    if (!join(old, OLD, path)) return false;
    if (lstat(old, &what) == 0 && !replicate(path)) return false;
  }
  return true;
}

/*
 * /var is the sandbox's own, for Lambda's folders in it; the machine's other folders of it (lib, cache, …) are bound.
 */
static bool add_var(void) {
  static const char *const own[] = {".", "..", "task", "runtime", "lang", "run", "lock", "tmp"};
  DIR *var = opendir(OLD "/var");
  bool ok = make_path(NEW "/var", true);
  for (struct dirent *entry; ok && var && (entry = readdir(var));) {
    char path[PATH_MAX];
    bool skip = false;
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) skip = skip || strcmp(entry->d_name, own[i]) == 0;
    if (skip) continue;
    snprintf(path, sizeof path, "/var/%s", entry->d_name);
    ok = replicate(path);
  }
  if (var) closedir(var);
  return ok;
}

static bool add_devices(void) {
  static const char *const links[][2] = {{"/proc/self/fd", "/dev/fd"},
                                         {"/proc/self/fd/0", "/dev/stdin"},
                                         {"/proc/self/fd/1", "/dev/stdout"},
                                         {"/proc/self/fd/2", "/dev/stderr"}};
  for (size_t i = 0; i < sizeof DEVICES / sizeof DEVICES[0]; i++) {
    char path[64];
    snprintf(path, sizeof path, "/dev/%s", DEVICES[i]);
    if (!bind(path, path)) return false;
  }
  for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) {
    if (!link_to(links[i][0], links[i][1])) return false;
  }
  return true;
}

/*
 * A copy of a file of /etc with one line more, so that the sandbox's user has a name. Without it much software
 * stumbles.
 */
static void add_line(const char *file, const char *line, const char *mark) {
  char old[PATH_MAX], copy[PATH_MAX], to[PATH_MAX];
  snprintf(old, sizeof old, OLD "/etc/%s", file);
  snprintf(copy, sizeof copy, "/%s", file);
  snprintf(to, sizeof to, NEW "/etc/%s", file);
  FILE *in = fopen(old, "re"), *out = fopen(copy, "we");
  char *text = NULL;
  size_t size = 0;
  bool present = !in || !out;
  while (!present && getline(&text, &size, in) >= 0) {
    present = strstr(text, mark) != NULL;
    fputs(text, out);
  }
  if (!present) fputs(line, out);
  free(text);
  if (in) fclose(in);
  if (out && fclose(out) == 0 && !present && chmod(copy, 0644) == 0) mount(copy, to, NULL, MS_BIND, NULL);
}

static void add_user(const struct im_options *options) {
  char line[128], mark[32];
  unsigned uid = options->uid, gid = options->gid;
  snprintf(mark, sizeof mark, ":%u:", uid);
  snprintf(line, sizeof line, "sbx_user1051:x:%u:%u::/home/sbx_user1051:/sbin/nologin\n", uid, gid);
  add_line("passwd", line, mark);
  snprintf(mark, sizeof mark, ":%u:", gid);
  snprintf(line, sizeof line, "sbx:x:%u:\n", gid);
  add_line("group", line, mark);
}

/*
 * Before Linux 5.12: one by one. A remount must keep the flags that a mount has, or it is refused in a user namespace.
 */
static bool make_each_read_only(void) {
  FILE *mounts = fopen(OLD "/proc/self/mounts", "re");
  char *line = NULL, *path;
  size_t size = 0;
  bool ok = mounts != NULL || fail(errno, "/proc/self/mounts");
  while (ok && getline(&line, &size, mounts) >= 0) {
    strtok(line, " ");
    path = strtok(NULL, " ");
    struct statvfs is;
    if (!path || (strcmp(path, NEW) != 0 && strncmp(path, NEW "/", sizeof NEW) != 0) || statvfs(path, &is) != 0)
      continue;
    unsigned long keep = 0;
    if (is.f_flag & ST_NODEV) keep |= MS_NODEV;
    if (is.f_flag & ST_NOEXEC) keep |= MS_NOEXEC;
    if (is.f_flag & ST_NOATIME) keep |= MS_NOATIME;
    if (is.f_flag & ST_NODIRATIME) keep |= MS_NODIRATIME;
    if (is.f_flag & ST_RELATIME) keep |= MS_RELATIME;
    ok = mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | keep, NULL) == 0 ||
         fail(errno, "read-only %s", path);
  }
  free(line);
  if (mounts) fclose(mounts);
  return ok;
}

static bool make_read_only(void) {
  struct mount_attributes attributes = {.set = ATTR_RDONLY | ATTR_NOSUID};
  if (syscall(SYS_mount_setattr, AT_FDCWD, NEW, AT_RECURSIVE_MOUNT, &attributes, sizeof attributes) == 0) return true;
  return errno == ENOSYS ? make_each_read_only() : fail(errno, "mount_setattr");
}

/* After everything else is read-only. */
static bool add_tmp(const struct im_options *options, const char *source) {
  if (!source) {
    const char *how = "mode=0700,size=" TMP_SIZE;
    if (mount("tmpfs", NEW "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, how) != 0) return fail(errno, "tmpfs on /tmp");
  } else {
    char from[PATH_MAX];
    if (!join(from, OLD, source)) return false;
    if (mount(from, NEW "/tmp", NULL, MS_BIND, NULL) != 0) return fail(errno, "bind %s to /tmp", source);
  }
  if (chmod(NEW "/tmp", 0700) != 0) return fail(errno, "chmod /tmp");
  return geteuid() != 0 || chown(NEW "/tmp", options->uid, options->gid) == 0 || fail(errno, "chown /tmp");
}

static void add_proc(struct im_missing *missing) {
  if (mount("proc", NEW "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0) return;
  report_missing(missing, "/proc shows this machine's processes: mount: %s", strerror(errno));
  if (mount(OLD "/proc", NEW "/proc", NULL, MS_BIND | MS_REC, NULL) != 0)
    report_missing(missing, "/proc: %s", strerror(errno));
}

static bool add_entries(const struct im_options *options, char *const *sources) {
  for (int i = 0; i < options->entry_count; i++) {
    const struct im_entry *entry = &options->entries[i];
    char to[PATH_MAX];
    bool ok = join(to, NEW, entry->target);
    if (entry->kind == IM_ENTRY_BIND) ok = ok && bind(sources[i], entry->target);
    if (entry->kind == IM_ENTRY_SYMLINK) ok = ok && link_to(entry->source, entry->target);
    if (entry->kind == IM_ENTRY_DIRECTORY) ok = ok && make_path(to, true);
    if (!ok) return false;
  }
  return true;
}

static bool make_real(const struct im_options *options, char **sources, char **tmp) {
  for (int i = 0; i < options->entry_count; i++) {
    const struct im_entry *entry = &options->entries[i];
    if (entry->kind == IM_ENTRY_BIND && !(sources[i] = realpath(entry->source, NULL)))
      return fail(errno, "%s", entry->source);
  }
  return !options->tmp || (*tmp = realpath(options->tmp, NULL)) || fail(errno, "%s", options->tmp);
}

static bool start_root(void) {
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) return fail(errno, "private mounts");
  if (mount("tmpfs", BASE, "tmpfs", MS_NOSUID, "mode=0755") != 0) return fail(errno, "tmpfs");
  if (mkdir(BASE OLD, 0755) != 0 || mkdir(BASE NEW, 0755) != 0) return fail(errno, "mkdir");
  if (syscall(SYS_pivot_root, BASE, BASE OLD) != 0) return fail(errno, "pivot_root");
  if (chdir("/") != 0) return fail(errno, "chdir");
  if (mount("tmpfs", NEW, "tmpfs", MS_NOSUID, "mode=0755") != 0) return fail(errno, "tmpfs");
  static const char *const folders[] = {NEW "/proc", NEW "/dev", NEW "/tmp", NEW "/run", NEW "/opt"};
  for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
    if (mkdir(folders[i], 0755) != 0) return fail(errno, "mkdir");
  }
  return true;
}

static bool finish_root(void) {
  if (chdir(NEW) != 0 || syscall(SYS_pivot_root, ".", ".") != 0) return fail(errno, "second pivot_root");
  if (umount2(".", MNT_DETACH) != 0) return fail(errno, "umount");
  return chdir("/") == 0 || fail(errno, "chdir");
}

bool root_enter(const struct im_options *options, struct im_missing *missing) {
  static char *sources[IM_MAX_ENTRIES];
  char *tmp = NULL;
  umask(022);
  if (!make_real(options, sources, &tmp) || !start_root()) return false;
  if (!add_system() || !add_var() || !add_devices()) return false;
  /* How many processors there are is asked there by most runtimes; nothing else of /sys is needed. */
  bind("/sys/devices/system/cpu", "/sys/devices/system/cpu");
  if (!add_entries(options, sources)) return false;
  add_user(options);
  if (!make_read_only() || !add_tmp(options, tmp)) return false;
  add_proc(missing);
  return finish_root();
}
