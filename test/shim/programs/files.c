/*
 * files: every call that takes a path, on remapped ones. `files FOLDER [alone]`: /no/such/place is FOLDER,
 * /etc/hostname is FOLDER/name. FOLDER has: name ("imagined\n"), sub/inner, link -> name, run (a script that exits with
 * 7).
 */
#include "case.h"
#include <limits.h>
#include <spawn.h>
#include <sys/inotify.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <utime.h>

#define PLACE "/no/such/place"
static char folder[PATH_MAX];

static const char *in_folder(const char *name) {
  static char path[2 * PATH_MAX];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return path;
}

static void is_name(int fd) {
  char text[32] = {0};
  CHECK(fd >= 0 && read(fd, text, sizeof text) == 9 && !strcmp(text, "imagined\n"), "%s", text);
  close(fd);
}

static void opens(void) {
  static const char *const spellings[] = {
      "/etc/hostname",           "//etc/hostname", "/etc//hostname", "/etc/./hostname",    "/usr/../etc/hostname",
      "/etc/../../etc/hostname", PLACE "/name",    PLACE "//name",   PLACE "/sub/../name", PLACE "/link"};
  for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
    is_name(open(spellings[i], O_RDONLY));
    is_name(openat(AT_FDCWD, spellings[i], O_RDONLY));
    is_name((int)syscall(SYS_openat, AT_FDCWD, spellings[i], O_RDONLY, 0));
    FILE *file = fopen(spellings[i], "r");
    CHECK(file, "%s", spellings[i]);
    is_name(dup(fileno(file)));
    CHECK((file = freopen(spellings[i], "r", file)));
    fclose(file);
  }
  CHECK(chdir("/etc") == 0);
  is_name(open("hostname", O_RDONLY));
  is_name(open("./hostname", O_RDONLY));
  is_name(open("../etc/hostname", O_RDONLY));
  CHECK(open("hostname/x", O_RDONLY) == -1 && errno == ENOTDIR);
  int dir = open("/", O_RDONLY | O_DIRECTORY);
  is_name(openat(dir, "etc/hostname", O_RDONLY));
  is_name(openat(dir, "no/such/place/name", O_RDONLY));
  close(dir);
  CHECK((dir = open(PLACE, O_RDONLY | O_DIRECTORY)) >= 0);
  is_name(openat(dir, "name", O_RDONLY));
  close(dir);
  CHECK(open("/etc/hostname/", O_RDONLY) == -1 && errno == ENOTDIR);
  CHECK(open(PLACE "/none", O_RDONLY) == -1 && errno == ENOENT);
  CHECK(open(PLACE "s/name", O_RDONLY) == -1 && errno == ENOENT);
  CHECK(open("/no/such", O_RDONLY) == -1 && errno == ENOENT);
  errno = 42;
  close(open(PLACE "/name", O_RDONLY));
  CHECK(errno == 42);
}

static void looks(void) {
  struct stat real, status;
  struct statvfs system;
  char text[PATH_MAX];
  CHECK(stat(in_folder("name"), &real) == 0);
#define SAME(call) \
  do { \
    memset(&status, 0, sizeof status); \
    CHECK((call) == 0 && status.st_ino == real.st_ino && status.st_size == 9); \
  } while (0)
  SAME(stat("/etc/hostname", &status));
  SAME(stat(PLACE "/link", &status));
  SAME(lstat(PLACE "/name", &status));
  SAME(fstatat(AT_FDCWD, "/etc/hostname", &status, AT_SYMLINK_NOFOLLOW));
  CHECK(lstat(PLACE "/link", &status) == 0 && S_ISLNK(status.st_mode));
#ifdef SYS_newfstatat
  SAME(syscall(SYS_newfstatat, AT_FDCWD, "/etc/hostname", &status, 0));
#endif
  CHECK(statvfs(PLACE, &system) == 0);
  CHECK(access(PLACE "/name", R_OK) == 0 && access(PLACE "/none", R_OK) == -1 && errno == ENOENT);
  CHECK(faccessat(AT_FDCWD, PLACE "/run", X_OK, 0) == 0 && eaccess(PLACE "/run", X_OK) == 0);
  CHECK(readlink(PLACE "/link", text, sizeof text) == 4 && !memcmp(text, "name", 4));
  CHECK(readlinkat(AT_FDCWD, PLACE "/link", text, sizeof text) == 4);
  CHECK(realpath("/etc/hostname", text) && !strcmp(text, "/etc/hostname"), "%s", text);
  CHECK(realpath(PLACE "/sub/../link", text) && !strcmp(text, PLACE "/name"), "%s", text);
  char *own = realpath(PLACE "/sub", 0);
  CHECK(own && !strcmp(own, PLACE "/sub"));
  free(own);
  CHECK(!realpath(PLACE "/none", text) && errno == ENOENT);
  CHECK(realpath("/usr/..", text) && !strcmp(text, "/"));
}

static void directories(void) {
  struct dirent **list;
  CHECK(count_entries(PLACE) == 4, "%d", count_entries(PLACE));
  int count = scandir(PLACE "/sub", &list, 0, alphasort);
  CHECK(count == 3 && !strcmp(list[2]->d_name, "inner"));
  while (count--) free(list[count]);
  free(list);
  CHECK(chdir(PLACE) == 0);
  is_name(open("name", O_RDONLY));
  CHECK(chdir("/") == 0);
  int watch = inotify_init1(IN_CLOEXEC);
  CHECK(watch < 0 || inotify_add_watch(watch, PLACE, IN_CREATE) >= 0);
}

static void changes(void) {
  struct stat status;
  int fd = open(PLACE "/new", O_WRONLY | O_CREAT | O_EXCL, 0640);
  CHECK(fd >= 0 && write(fd, "text", 4) == 4 && fstat(fd, &status) == 0 && (status.st_mode & 0777) == 0640);
  close(fd);
  CHECK(access(in_folder("new"), F_OK) == 0);
  CHECK(truncate(PLACE "/new", 2) == 0 && stat(in_folder("new"), &status) == 0 && status.st_size == 2);
  CHECK(chmod(PLACE "/new", 0600) == 0 && chown(PLACE "/new", getuid(), getgid()) == 0);
  CHECK(utime(PLACE "/new", &(struct utimbuf){1, 2}) == 0 && stat(in_folder("new"), &status) == 0 &&
        status.st_mtime == 2);
  CHECK(link(PLACE "/new", PLACE "/second") == 0 && unlink(PLACE "/second") == 0);
  CHECK(rename(PLACE "/new", PLACE "/sub/moved") == 0 && access(in_folder("sub/moved"), F_OK) == 0);
  CHECK(symlink("nowhere", PLACE "/other") == 0 && lstat(in_folder("other"), &status) == 0);
  CHECK(mkdir(PLACE "/dir", 0700) == 0 && rename(PLACE "/sub/moved", PLACE "/dir/moved") == 0);
  CHECK(rmdir(PLACE "/dir") == -1 && errno == ENOTEMPTY);
  CHECK(remove(PLACE "/dir/moved") == 0 && rmdir(PLACE "/dir") == 0);
  CHECK(unlinkat(AT_FDCWD, PLACE "/other", 0) == 0);
  CHECK(creat("/no/such/elsewhere", 0600) == -1 && errno == ENOENT);
}

static int status_of(pid_t pid) {
  int status;
  CHECK(waitpid(pid, &status, 0) == pid);
  return WEXITSTATUS(status);
}

static void starts(void) {
  char *arguments[] = {"run", 0}, *environment[] = {0};
  pid_t pid;
  for (int way = 0; way < 4; way++) {
    CHECK((pid = way ? fork() : vfork()) >= 0);
    if (pid == 0) {
      if (way < 2) execve(PLACE "/run", arguments, environment);
      if (way == 2) execvp(PLACE "/run", arguments);
      if (way == 3) execl(PLACE "/run", "run", (char *)0);
      _exit(1);
    }
    CHECK(status_of(pid) == 7);
  }
  CHECK(posix_spawn(&pid, PLACE "/run", 0, 0, arguments, environment) == 0 && status_of(pid) == 7);
  CHECK(posix_spawnp(&pid, PLACE "/run", 0, 0, arguments, environment) == 0 && status_of(pid) == 7);
  CHECK(posix_spawn(&pid, PLACE "/none", 0, 0, arguments, environment) == ENOENT);
}

/* As long as a path may be, and longer. */
static void long_paths(void) {
  static char path[3 * PATH_MAX];
  for (size_t length = PATH_MAX - 64; length < PATH_MAX + 64; length++) {
    snprintf(path, sizeof path, "%s/", PLACE);
    for (size_t at = strlen(path); at < length; at++) path[at] = at % 200 ? 'x' : '/';
    path[length] = 0;
    CHECK(open(path, O_RDONLY) == -1 && (errno == ENOENT || errno == ENAMETOOLONG));
  }
  strcpy(path, PLACE);
  for (size_t at = strlen(path); at < sizeof path - 8; at += 5) strcpy(path + at, "/sub/"), strcpy(path + at + 5, "..");
  CHECK(open(path, O_RDONLY) == -1);
}

int main(int argc, char **argv) {
  CHECK(argc >= 2 && strlen(argv[1]) < sizeof folder);
  strcpy(folder, argv[1]);
  opens();
  looks();
  directories();
  changes();
  if (argc == 2) starts();
  long_paths();
  return 0;
}
