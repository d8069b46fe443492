/* The real functions behind the wrappers. The logic calls libc_X; for static guests X is another implementation. */
#ifndef IMAGINARY_LIBC_H
#define IMAGINARY_LIBC_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <time.h>

/* What a call that fails returns, with errno. */
static inline int libc_fail(int error) {
  errno = error;
  return -1;
}

/* Until the end of the scope: then errno is again what it is now. */
static inline void libc_restore(const int *kept) { errno = *kept; }
#define IM_KEEP_ERRNO __attribute__((cleanup(libc_restore), unused)) const int kept_errno = errno

/* glibc's alone; musl's headers have no such structure. */
struct gaicb;

/* X(return type, name, parameters, arguments, what a call returns when this libc has no such function) */
#define IM_LIBC_FUNCTIONS(X) \
  X(int, connect, (int fd, const struct sockaddr *to, socklen_t size), (fd, to, size), -1) \
  X(int, bind, (int fd, const struct sockaddr *to, socklen_t size), (fd, to, size), -1) \
  X(int, shutdown, (int fd, int how), (fd, how), -1) \
  X(int, listen, (int fd, int backlog), (fd, backlog), -1) \
  X(int, accept, (int fd, struct sockaddr *from, socklen_t *size), (fd, from, size), -1) \
  X(int, accept4, (int fd, struct sockaddr *from, socklen_t *size, int flags), (fd, from, size, flags), -1) \
  X(int, getsockname, (int fd, struct sockaddr *name, socklen_t *size), (fd, name, size), -1) \
  X(int, getpeername, (int fd, struct sockaddr *name, socklen_t *size), (fd, name, size), -1) \
  X(int, getsockopt, (int fd, int level, int option, void *value, socklen_t *size), (fd, level, option, value, size), \
    -1) \
  X(int, setsockopt, (int fd, int level, int option, const void *value, socklen_t size), \
    (fd, level, option, value, size), -1) \
  X(ssize_t, send, (int fd, const void *data, size_t size, int flags), (fd, data, size, flags), -1) \
  X(ssize_t, sendto, (int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t to_size), \
    (fd, data, size, flags, to, to_size), -1) \
  X(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags), -1) \
  X(int, sendmmsg, (int fd, struct mmsghdr *messages, unsigned count, int flags), (fd, messages, count, flags), -1) \
  X(ssize_t, recvfrom, (int fd, void *data, size_t size, int flags, struct sockaddr *from, socklen_t *from_size), \
    (fd, data, size, flags, from, from_size), -1) \
  X(ssize_t, __recvfrom_chk, \
    (int fd, void *data, size_t size, size_t room, int flags, struct sockaddr *from, socklen_t *from_size), \
    (fd, data, size, room, flags, from, from_size), -1) \
  X(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags), -1) \
  X(int, recvmmsg, (int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout), \
    (fd, messages, count, flags, timeout), -1) \
  X(int, epoll_ctl, (int set, int op, int fd, struct epoll_event *event), (set, op, fd, event), -1) \
  X(int, close, (int fd), (fd), -1) \
  X(int, dup, (int fd), (fd), -1) \
  X(int, dup2, (int from, int to), (from, to), -1) \
  X(int, dup3, (int from, int to, int flags), (from, to, flags), -1) \
  X(int, getaddrinfo, (const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **result), \
    (name, service, hints, result), EAI_SYSTEM) \
  X(int, getnameinfo, \
    (const struct sockaddr *address, socklen_t size, char *host, socklen_t host_size, char *service, \
     socklen_t service_size, int flags), \
    (address, size, host, host_size, service, service_size, flags), EAI_SYSTEM) \
  X(int, getaddrinfo_a, (int mode, struct gaicb *list[], int count, struct sigevent *event), \
    (mode, list, count, event), EAI_SYSTEM) \
  X(struct hostent *, gethostbyname, (const char *name), (name), 0) \
  X(struct hostent *, gethostbyname2, (const char *name, int family), (name, family), 0) \
  X(int, gethostbyname_r, \
    (const char *name, struct hostent *entry, char *buffer, size_t size, struct hostent **result, int *error), \
    (name, entry, buffer, size, result, error), -1) \
  X(int, gethostbyname2_r, \
    (const char *name, int family, struct hostent *entry, char *buffer, size_t size, struct hostent **result, \
     int *error), \
    (name, family, entry, buffer, size, result, error), -1) \
  X(struct hostent *, gethostbyaddr, (const void *address, socklen_t size, int family), (address, size, family), 0) \
  X(int, gethostbyaddr_r, \
    (const void *address, socklen_t length, int family, struct hostent *entry, char *buffer, size_t size, \
     struct hostent **result, int *error), \
    (address, length, family, entry, buffer, size, result, error), -1) \
  X(int, gethostname, (char *name, size_t size), (name, size), -1) \
  X(int, uname, (struct utsname * name), (name), -1) \
  X(int, sethostname, (const char *name, size_t size), (name, size), -1) \
  X(int, setdomainname, (const char *name, size_t size), (name, size), -1) \
  X(int, execve, (const char *path, char *const argv[], char *const envp[]), (path, argv, envp), -1) \
  X(int, execvpe, (const char *file, char *const argv[], char *const envp[]), (file, argv, envp), -1) \
  X(int, fexecve, (int fd, char *const argv[], char *const envp[]), (fd, argv, envp), -1) \
  X(int, execveat, (int dir, const char *path, char *const argv[], char *const envp[], int flags), \
    (dir, path, argv, envp, flags), -1) \
  X(int, posix_spawn, \
    (pid_t * pid, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes, \
     char *const argv[], char *const envp[]), \
    (pid, path, actions, attributes, argv, envp), ENOSYS) \
  X(int, posix_spawnp, \
    (pid_t * pid, const char *file, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes, \
     char *const argv[], char *const envp[]), \
    (pid, file, actions, attributes, argv, envp), ENOSYS) \
  X(int, getrlimit, (int resource, struct rlimit *limit), (resource, limit), -1) \
  X(int, setrlimit, (int resource, const struct rlimit *limit), (resource, limit), -1) \
  X(int, prlimit, (pid_t pid, int resource, const struct rlimit *limit, struct rlimit *before), \
    (pid, resource, limit, before), -1) \
  X(int, prctl, (int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d), \
    (option, a, b, c, d), -1)

#define IM_DECLARE(type, name, parameters, arguments, missing) type libc_##name parameters;
IM_LIBC_FUNCTIONS(IM_DECLARE)
#undef IM_DECLARE

#ifdef __GLIBC__
/* pthread_atfork calls this; itself it is not in every libpthread.so of glibc. */
extern int __register_atfork(void (*)(void), void (*)(void), void (*)(void), void *);
#define IM_ATFORK(before, parent, child) __register_atfork(before, parent, child, 0)
#else
#define IM_ATFORK(before, parent, child) pthread_atfork(before, parent, child)
#endif

/* Looks all of them up now, so that nothing is looked up later between fork and exec. */
void libc_resolve(void);

#endif
