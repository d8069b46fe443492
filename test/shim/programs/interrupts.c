/*
 * interrupts WHO MS [NOT...]: every call that waits (but these), for so long where it ends by itself, and what signals
 * do to it. WHO: `native` (a handler of this program's for IM_SIGNAL, as if it had asked for it: shows which calls the
 * kernel restarts), `ours` (the shim's handler is not seen, and the time is as asked), `another` (one of the guest's
 * signals too: EINTR as natively), `both` (both are pending at the same time). Prints the calls that this libc lacks.
 */
#include "case.h"

#include "contract/abi/abi.h"

#include <aio.h>
#include <dlfcn.h>
#include <mqueue.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/un.h>

#define LATE 0.75 /* of the time of a call that ends by itself: when its last signal comes */
#define SIGNALS 3 /* for a call that does not */
#define DEADLINE_MS 20000
#define AT_ONCE 8
#define LAST 62 /* delivered after IM_SIGNAL where both are pending */

enum who { NATIVE, OURS, ANOTHER, BOTH };

static enum who who;
static int limit_ms;
static struct {
  double start, last;
  volatile bool inside;
} *shared;
static volatile sig_atomic_t handled;
static int another = SIGUSR1;

/* What the other process does at the end; NULL: the call ends by itself, after `limit`. */
static void (*release)(void);
static double limit;
static bool goes_on; /* whatever signals there are */
static pid_t waiter, signaller;

static int in[2], set, semaphore = -1, queue = -1;

/* ---- the process that signals ---- */

static void status_of(pid_t pid, char *state, bool *pending) {
  char path[64], text[4096];
  snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
  FILE *file = fopen(path, "r");
  CHECK(file);
  *state = 0;
  *pending = false;
  while (fgets(text, sizeof text, file)) {
    unsigned long long set;
    sscanf(text, "State: %c", state);
    if (sscanf(text, "SigPnd: %llx", &set) == 1 || sscanf(text, "ShdPnd: %llx", &set) == 1)
      *pending |= (set >> (IM_SIGNAL - 1)) & 1;
  }
  fclose(file);
}

static void until(char wanted) {
  double end = now_ms() + DEADLINE_MS;
  struct timespec nap = {0, 500000};
  for (;;) {
    char state;
    bool pending;
    status_of(waiter, &state, &pending);
    if (state == wanted && (wanted != 'S' || !pending)) return;
    CHECK(now_ms() < end, "is %c", state);
    (void)past_shim(SYS_nanosleep, (long)&nap, 0, 0);
  }
}

static void tell(int number) { CHECK(kill(waiter, number) == 0); }

static void tell_ours(void) {
  until('S');
  tell(IM_SIGNAL);
  shared->last = now_ms();
}

static void until_late(void) {
  while (now_ms() < shared->start + limit * LATE) {
    struct timespec nap = {0, 1000000};
    (void)past_shim(SYS_nanosleep, (long)&nap, 0, 0);
  }
}

static void signal_waiter(void) {
  tell_ours();
  if (who == OURS && !release) {
    until_late();
    tell_ours();
  }
  if (who == OURS && release)
    for (int i = 1; i < SIGNALS; i++) tell_ours();
  if (who == ANOTHER) {
    until('S');
    tell(another);
  }
  if (who == BOTH) {
    until('S');
    tell(SIGSTOP);
    until('T');
    tell(IM_SIGNAL);
    tell(another);
    tell(SIGCONT);
  }
  if (!release || (who != OURS && !goes_on)) return;
  until('S');
  release();
}

/* Everything is ready: the call comes next. */
static void begin(double time, void (*how)(void)) {
  limit = time;
  release = how;
  waiter = getpid();
  shared->start = now_ms();
  signaller = fork();
  CHECK(signaller >= 0);
  if (signaller) return;
  signal_waiter();
  exit(0);
}

static void write_in(void) { CHECK(write(in[1], "x", 1) == 1); }
static void up(void) {
  struct sembuf more = {.sem_op = 1};
  (void)!semop(semaphore, &more, 1);
}
static void usr2(void) { tell(SIGUSR2); }
static void usr1(void) { tell(SIGUSR1); }
struct text {
  long type;
  char text[64];
};
static void put_message(void) {
  struct text text = {1, ""};
  (void)!msgsnd(queue, &text, sizeof text.text, IPC_NOWAIT);
}
static void take_messages(void) {
  struct text text;
  while (msgrcv(queue, &text, sizeof text.text, 0, IPC_NOWAIT) >= 0) continue;
}

/* ---- the calls: 0, or EINTR ---- */

static struct timespec time_of(double milliseconds) {
  return (struct timespec){(time_t)(milliseconds / 1000), (long)(milliseconds * 1e6) % 1000000000L};
}

static struct timespec later(clockid_t clock, double milliseconds) {
  struct timespec now, more = time_of(milliseconds);
  clock_gettime(clock, &now);
  now.tv_sec += more.tv_sec + (now.tv_nsec + more.tv_nsec) / 1000000000L;
  now.tv_nsec = (now.tv_nsec + more.tv_nsec) % 1000000000L;
  return now;
}

#define ABSENT (-1)

/* `error`: what errno says of a call that ends by itself; 0: it does not fail. */
static int ended(long result, int error) {
  if (result == -1 && errno == ENOSYS) return ABSENT;
  if (result == -1 && errno == EINTR) return EINTR;
  if (error) CHECK(result == -1 && errno == error, "result %ld", result);
  if (!error) CHECK(result >= 0 && errno == 77, "result %ld, and errno was 77", result);
  return 0;
}

/* The last of many variable arguments, of which all bits count. */
#define NONE ((void *)0)

static void *function(const char *name) { return dlsym(RTLD_DEFAULT, name); }
#define REAL(type, parameters, name) \
  type(*call) parameters; \
  *(void **)&call = function(name); \
  if (!call) return ABSENT

/* Times of day are computed after it. */
#define BEGIN(time, how) \
  begin(time, how); \
  errno = 77

static struct pollfd quiet(void) { return (struct pollfd){.fd = in[0], .events = POLLIN}; }

#define CALL(name) static int wait_##name(void)

static int polls(const char *name) {
  struct pollfd one = quiet();
  REAL(int, (struct pollfd *, nfds_t, int), name);
  BEGIN(limit_ms, 0);
  return ended(call(&one, 1, limit_ms), 0);
}
CALL(poll) { return polls("poll"); }
CALL(__poll) { return polls("__poll"); }
CALL(__poll_chk) {
  struct pollfd one = quiet();
  REAL(int, (struct pollfd *, nfds_t, int, size_t), "__poll_chk");
  BEGIN(limit_ms, 0);
  return ended(call(&one, 1, limit_ms, sizeof one), 0);
}
CALL(poll_for_ever) {
  struct pollfd one = quiet();
  BEGIN(0, write_in);
  return ended(poll(&one, 1, -1), 0);
}
CALL(ppoll) {
  struct pollfd one = quiet();
  struct timespec time = time_of(limit_ms);
  sigset_t mask;
  sigemptyset(&mask);
  BEGIN(limit_ms, 0);
  return ended(ppoll(&one, 1, &time, &mask), 0);
}
CALL(__ppoll_chk) {
  struct pollfd one = quiet();
  struct timespec time = time_of(limit_ms);
  REAL(int, (struct pollfd *, nfds_t, const struct timespec *, const sigset_t *, size_t), "__ppoll_chk");
  BEGIN(limit_ms, 0);
  return ended(call(&one, 1, &time, 0, sizeof one), 0);
}
static int selects(const char *name) {
  struct timeval time = {limit_ms / 1000, limit_ms % 1000 * 1000};
  fd_set wanted;
  FD_ZERO(&wanted);
  FD_SET(in[0], &wanted);
  REAL(int, (int, fd_set *, fd_set *, fd_set *, struct timeval *), name);
  BEGIN(limit_ms, 0);
  return ended(call(in[0] + 1, &wanted, 0, 0, &time), 0);
}
CALL(select) { return selects("select"); }
CALL(__select) { return selects("__select"); }
CALL(pselect) {
  struct timespec time = time_of(limit_ms);
  sigset_t mask;
  sigemptyset(&mask);
  BEGIN(limit_ms, 0);
  return ended(pselect(0, 0, 0, 0, &time, &mask), 0);
}
CALL(epoll_wait) {
  struct epoll_event event;
  BEGIN(limit_ms, 0);
  return ended(epoll_wait(set, &event, 1, limit_ms), 0);
}
CALL(epoll_wait_for_ever) {
  struct epoll_event event;
  BEGIN(0, write_in);
  return ended(epoll_wait(set, &event, 1, -1), 0);
}
CALL(epoll_pwait) {
  struct epoll_event event;
  sigset_t mask;
  sigemptyset(&mask);
  BEGIN(limit_ms, 0);
  return ended(epoll_pwait(set, &event, 1, limit_ms, &mask), 0);
}
CALL(epoll_pwait2) {
  struct epoll_event event;
  struct timespec time = time_of(limit_ms);
  REAL(int, (int, struct epoll_event *, int, const struct timespec *, const sigset_t *), "epoll_pwait2");
  BEGIN(limit_ms, 0);
  return ended(call(set, &event, 1, &time, 0), 0);
}

/* What is left is told where the sleep was cut short. */
static int slept(long result, struct timespec left) {
  double milliseconds = (double)left.tv_sec * 1e3 + (double)left.tv_nsec / 1e6;
  if (result == EINTR) CHECK(milliseconds > 0 && milliseconds <= limit_ms + 1, "%f ms", milliseconds);
  return (int)result;
}
static int nanosleeps(const char *name) {
  struct timespec time = time_of(limit_ms), left = {0};
  REAL(int, (const struct timespec *, struct timespec *), name);
  BEGIN(limit_ms, 0);
  return slept(ended(call(&time, &left), 0), left);
}
CALL(nanosleep) { return nanosleeps("nanosleep"); }
CALL(__nanosleep) { return nanosleeps("__nanosleep"); }
CALL(nanosleep_in_place) {
  struct timespec time = time_of(limit_ms);
  BEGIN(limit_ms, 0);
  return slept(ended(nanosleep(&time, &time), 0), time);
}
CALL(clock_nanosleep) {
  struct timespec time = time_of(limit_ms), left = {0};
  BEGIN(limit_ms, 0);
  int result = clock_nanosleep(CLOCK_MONOTONIC, 0, &time, &left);
  CHECK(errno == 77 && (result == 0 || result == EINTR));
  return slept(result, left);
}
CALL(clock_nanosleep_until) {
  struct timespec time;
  BEGIN(limit_ms, 0);
  time = later(CLOCK_MONOTONIC, limit_ms);
  int result = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, 0);
  CHECK(result == 0 || result == EINTR);
  return result;
}
CALL(usleep) {
  BEGIN(limit_ms, 0);
  return ended(usleep(limit_ms * 1000), 0);
}
CALL(sleep) {
  unsigned time = (unsigned)(limit_ms + 1999) / 1000;
  BEGIN(time * 1000, 0);
  unsigned left = sleep(time);
  CHECK(left < time);
  if (left == 0) CHECK(errno == 77);
  return left ? EINTR : 0;
}
CALL(thrd_sleep) {
  struct timespec time = time_of(limit_ms), left = {0};
  REAL(int, (const struct timespec *, struct timespec *), "thrd_sleep");
  BEGIN(limit_ms, 0);
  int result = call(&time, &left);
  CHECK(result == 0 || result == -1);
  return slept(result ? EINTR : 0, left);
}

static sigset_t only(int number) {
  sigset_t wanted;
  sigemptyset(&wanted);
  sigaddset(&wanted, number);
  return wanted;
}
static sigset_t block(int number) {
  sigset_t wanted = only(number);
  sigprocmask(SIG_BLOCK, &wanted, 0);
  return wanted;
}
CALL(sigtimedwait) {
  struct timespec time = time_of(limit_ms);
  sigset_t wanted = block(SIGUSR2);
  BEGIN(limit_ms, 0);
  return ended(sigtimedwait(&wanted, 0, &time), EAGAIN);
}
CALL(sigwaitinfo) {
  sigset_t wanted = block(SIGUSR2);
  siginfo_t info;
  BEGIN(0, usr2);
  int result = sigwaitinfo(&wanted, &info);
  if (result > 0) CHECK(result == SIGUSR2 && info.si_signo == SIGUSR2 && info.si_pid == signaller);
  return ended(result, 0);
}
/* libc itself hides every EINTR from it, as POSIX has it. */
CALL(sigwait) {
  sigset_t wanted = block(SIGUSR2);
  int number = 0;
  BEGIN(0, usr2);
  CHECK(sigwait(&wanted, &number) == 0 && number == SIGUSR2);
  return 0;
}
/* Who waits for every signal gets ours too, natively. */
static sigset_t block_all(void) {
  sigset_t wanted;
  sigfillset(&wanted);
  sigdelset(&wanted, SIGCHLD);
  sigdelset(&wanted, SIGCONT);
  sigprocmask(SIG_BLOCK, &wanted, 0);
  return wanted;
}
static int got(int number) {
  if (number == -1 && errno == EINTR && who == BOTH) return EINTR; /* whoever was stopped sees that here */
  CHECK(number == (who == NATIVE ? IM_SIGNAL : who == OURS ? SIGUSR2 : another), "signal %d", number);
  return who == OURS ? 0 : EINTR;
}
CALL(sigwait_for_all) {
  sigset_t wanted = block_all();
  int number = 0;
  BEGIN(0, usr2);
  CHECK(sigwait(&wanted, &number) == 0);
  return got(number);
}
CALL(sigwaitinfo_for_all) {
  sigset_t wanted = block_all();
  BEGIN(0, usr2);
  return got(sigwaitinfo(&wanted, 0));
}
CALL(sigtimedwait_for_all) {
  sigset_t wanted = block_all();
  struct timespec time = time_of(limit_ms);
  BEGIN(limit_ms, 0);
  int number = sigtimedwait(&wanted, 0, &time);
  return number > 0 || errno == EINTR ? got(number) : ended(number, EAGAIN);
}
/* Another signal is the natural end of these; ours is none. */
static int woken(long result) {
  if (result == -1 && errno == ENOSYS) return ABSENT;
  CHECK(result == -1 && errno == EINTR);
  return who == NATIVE && !handled ? EINTR : handled ? 0 : EINTR;
}
CALL(pause) {
  BEGIN(0, usr1);
  return woken(pause());
}
CALL(sigsuspend) {
  sigset_t mask;
  sigemptyset(&mask);
  block(SIGUSR1);
  block(another);
  BEGIN(0, usr1);
  return woken(sigsuspend(&mask));
}
CALL(__sigpause) {
  REAL(int, (int, int), "__sigpause");
  block(SIGUSR1);
  BEGIN(0, usr1);
  return woken(call(SIGUSR1, 1));
}
CALL(__xpg_sigpause) {
  REAL(int, (int), "__xpg_sigpause");
  block(SIGUSR1);
  BEGIN(0, usr1);
  return woken(call(SIGUSR1));
}
CALL(sigpause) {
  REAL(int, (int), "sigpause");
  block(SIGUSR1);
  BEGIN(0, usr1);
#ifdef __GLIBC__
  return woken(call(0)); /* of BSD: a mask */
#else
  return woken(call(SIGUSR1));
#endif
}

static void make_semaphore(void) {
  semaphore = semget(IPC_PRIVATE, 1, 0600);
  CHECK(semaphore >= 0);
}
CALL(semop) {
  struct sembuf less = {.sem_op = -1};
  make_semaphore();
  BEGIN(0, up);
  return ended(semop(semaphore, &less, 1), 0);
}
CALL(semtimedop) {
  struct sembuf less = {.sem_op = -1};
  struct timespec time = time_of(limit_ms);
  make_semaphore();
  BEGIN(limit_ms, 0);
  return ended(semtimedop(semaphore, &less, 1, &time), EAGAIN);
}
static void make_queue(void) {
  queue = msgget(IPC_PRIVATE, 0600);
  CHECK(queue >= 0);
}
static void fill_queue(void) {
  struct text text = {1, ""};
  make_queue();
  while (msgsnd(queue, &text, sizeof text.text, IPC_NOWAIT) == 0) continue;
  CHECK(errno == EAGAIN);
}
CALL(msgrcv) {
  struct text text;
  make_queue();
  BEGIN(0, put_message);
  return ended(msgrcv(queue, &text, sizeof text.text, 0, 0), 0);
}
CALL(msgsnd) {
  struct text text = {1, ""};
  fill_queue();
  BEGIN(0, take_messages);
  return ended(msgsnd(queue, &text, sizeof text.text, 0), 0);
}
CALL(sem_timedwait) {
  sem_t one;
  struct timespec time;
  sem_init(&one, 0, 0);
  BEGIN(limit_ms, 0);
  time = later(CLOCK_REALTIME, limit_ms);
  return ended(sem_timedwait(&one, &time), ETIMEDOUT);
}
CALL(sem_clockwait) {
  sem_t one;
  struct timespec time;
  REAL(int, (sem_t *, clockid_t, const struct timespec *), "sem_clockwait");
  sem_init(&one, 0, 0);
  BEGIN(limit_ms, 0);
  time = later(CLOCK_MONOTONIC, limit_ms);
  return ended(call(&one, CLOCK_MONOTONIC, &time), ETIMEDOUT);
}
static int aio_suspends(const char *name) {
  static char byte;
  struct aiocb one = {.aio_fildes = in[0], .aio_buf = &byte, .aio_nbytes = 1};
  const struct aiocb *list[] = {&one};
  struct timespec time = time_of(limit_ms);
  int (*reads)(struct aiocb *);
  *(void **)&reads = function("aio_read");
  REAL(int, (const struct aiocb *const *, int, const struct timespec *), name);
  CHECK(reads && reads(&one) == 0);
  BEGIN(limit_ms, 0);
  return ended(call(list, 1, &time), EAGAIN);
}
CALL(aio_suspend) { return aio_suspends("aio_suspend"); }
CALL(aio_suspend64) { return aio_suspends("aio_suspend64"); }

/* ---- sockets with time limits ---- */

static void set_limit(int fd, int option) {
  struct timeval time = {limit_ms / 1000, limit_ms % 1000 * 1000};
  CHECK(setsockopt(fd, SOL_SOCKET, option, &time, sizeof time) == 0);
}
static int quiet_socket(void) {
  int pair[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  set_limit(pair[0], SO_RCVTIMEO);
  return pair[0];
}
static int full_socket(void) {
  static char bytes[4096];
  int pair[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  while (send(pair[0], bytes, sizeof bytes, MSG_DONTWAIT) > 0) continue;
  CHECK(errno == EAGAIN);
  set_limit(pair[0], SO_SNDTIMEO);
  return pair[0];
}
static char byte[1];
static struct iovec part = {byte, 1};
static struct mmsghdr message(void) { return (struct mmsghdr){.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}}; }
#define ON_SOCKET(name, make, expression) \
  CALL(name) { \
    int fd = make(); \
    struct mmsghdr many = message(); \
    (void)many; \
    BEGIN(limit_ms, 0); \
    return ended(expression, EAGAIN); \
  }
ON_SOCKET(recv, quiet_socket, recv(fd, byte, 1, 0))
ON_SOCKET(recvfrom, quiet_socket, recvfrom(fd, byte, 1, 0, 0, 0))
ON_SOCKET(recvmsg, quiet_socket, recvmsg(fd, &many.msg_hdr, 0))
ON_SOCKET(recvmmsg, quiet_socket, recvmmsg(fd, &many, 1, 0, 0))
ON_SOCKET(send, full_socket, send(fd, byte, 1, 0))
ON_SOCKET(sendto, full_socket, sendto(fd, byte, 1, 0, 0, 0))
ON_SOCKET(sendmsg, full_socket, sendmsg(fd, &many.msg_hdr, 0))
ON_SOCKET(sendmmsg, full_socket, sendmmsg(fd, &many, 1, 0))
ON_SOCKET(numbered_recvfrom, quiet_socket, syscall(SYS_recvfrom, fd, byte, 1, 0, 0, NONE))
ON_SOCKET(numbered_sendto, full_socket, syscall(SYS_sendto, fd, byte, 1, 0, 0, NONE))
CALL(__recv_chk) {
  int fd = quiet_socket();
  REAL(ssize_t, (int, void *, size_t, size_t, int), "__recv_chk");
  BEGIN(limit_ms, 0);
  return ended(call(fd, byte, 1, 1, 0), EAGAIN);
}
CALL(__recvfrom_chk) {
  int fd = quiet_socket();
  REAL(ssize_t, (int, void *, size_t, size_t, int, struct sockaddr *, socklen_t *), "__recvfrom_chk");
  BEGIN(limit_ms, 0);
  return ended(call(fd, byte, 1, 1, 0, 0, 0), EAGAIN);
}
/* Past the shim: what is tested is the kernel's own wait. */
static int listener(struct sockaddr_in *where) {
  int fd = tcp(0);
  bind_past_shim(fd, at("127.1.2.3", 0));
  CHECK(past_shim(SYS_listen, fd, 0, 0) == 0);
  *where = name_of(fd, getsockname);
  set_limit(fd, SO_RCVTIMEO);
  return fd;
}
CALL(accept) {
  struct sockaddr_in where;
  int fd = listener(&where);
  BEGIN(limit_ms, 0);
  return ended(accept(fd, 0, 0), EAGAIN);
}
CALL(accept4) {
  struct sockaddr_in where;
  int fd = listener(&where);
  BEGIN(limit_ms, 0);
  return ended(accept4(fd, 0, 0, SOCK_CLOEXEC), EAGAIN);
}
/* A listener whose queue is full answers nothing. */
static int unanswered(struct sockaddr_in *where) {
  listener(where);
  for (int i = 0; i < 2; i++) {
    int fd = tcp(SOCK_NONBLOCK);
    CHECK(connect_to(fd, *where) == 0 || errno == EINPROGRESS);
  }
  int fd = tcp(0);
  set_limit(fd, SO_SNDTIMEO);
  return fd;
}
CALL(connect) {
  struct sockaddr_in where;
  int fd = unanswered(&where);
  BEGIN(limit_ms, 0);
  return ended(connect_to(fd, where), EINPROGRESS);
}
CALL(numbered_connect) {
  struct sockaddr_in where;
  int fd = unanswered(&where);
  BEGIN(limit_ms, 0);
  return ended(syscall(SYS_connect, fd, &where, sizeof where), EINPROGRESS);
}

/* ---- by number ---- */

CALL(numbered_ppoll) {
  struct pollfd one = quiet();
  struct timespec time = time_of(limit_ms);
  BEGIN(limit_ms, 0);
  return ended(syscall(SYS_ppoll, &one, 1, &time, 0, 8L), 0);
}
CALL(numbered_pselect6) {
  struct timespec time = time_of(limit_ms);
  BEGIN(limit_ms, 0);
  return ended(syscall(SYS_pselect6, 0, 0, 0, 0, &time, NONE), 0);
}
CALL(numbered_epoll_pwait) {
  struct epoll_event event;
  BEGIN(limit_ms, 0);
  return ended(syscall(SYS_epoll_pwait, set, &event, 1, limit_ms, 0, 8L), 0);
}
#ifdef SYS_poll
CALL(numbered_poll) {
  struct pollfd one = quiet();
  BEGIN(limit_ms, 0);
  return ended(syscall(SYS_poll, &one, 1, limit_ms), 0);
}
CALL(numbered_select) {
  struct timeval time = {limit_ms / 1000, limit_ms % 1000 * 1000};
  BEGIN(limit_ms, 0);
  return ended(syscall(SYS_select, 0, 0, 0, 0, &time), 0);
}
CALL(numbered_epoll_wait) {
  struct epoll_event event;
  BEGIN(limit_ms, 0);
  return ended(syscall(SYS_epoll_wait, set, &event, 1, limit_ms), 0);
}
CALL(numbered_pause) {
  BEGIN(0, usr1);
  return woken(syscall(SYS_pause));
}
#endif
#ifdef SYS_epoll_pwait2
CALL(numbered_epoll_pwait2) {
  struct epoll_event event;
  struct timespec time = time_of(limit_ms);
  BEGIN(limit_ms, 0);
  return ended(syscall(SYS_epoll_pwait2, set, &event, 1, &time, 0, 8L), 0);
}
#endif
CALL(numbered_nanosleep) {
  struct timespec time = time_of(limit_ms), left = {0};
  BEGIN(limit_ms, 0);
  return slept(ended(syscall(SYS_nanosleep, &time, &left), 0), left);
}
CALL(numbered_clock_nanosleep) {
  struct timespec time = time_of(limit_ms), left = {0};
  BEGIN(limit_ms, 0);
  return slept(ended(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &time, &left), 0), left);
}
CALL(numbered_clock_nanosleep_until) {
  struct timespec time;
  BEGIN(limit_ms, 0);
  time = later(CLOCK_MONOTONIC, limit_ms);
  return ended(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &time, 0), 0);
}
CALL(numbered_rt_sigtimedwait) {
  struct timespec time = time_of(limit_ms);
  uint64_t wanted = UINT64_C(1) << (SIGUSR2 - 1);
  block(SIGUSR2);
  BEGIN(limit_ms, 0);
  return ended(syscall(SYS_rt_sigtimedwait, &wanted, 0, &time, 8), EAGAIN);
}
CALL(numbered_rt_sigsuspend) {
  uint64_t mask = 0;
  block(SIGUSR1);
  BEGIN(0, usr1);
  return woken(syscall(SYS_rt_sigsuspend, &mask, 8));
}
CALL(numbered_semop) {
  struct sembuf less = {.sem_op = -1};
  make_semaphore();
  BEGIN(0, up);
  return ended(syscall(SYS_semop, semaphore, &less, 1), 0);
}
CALL(numbered_semtimedop) {
  struct sembuf less = {.sem_op = -1};
  struct timespec time = time_of(limit_ms);
  make_semaphore();
  BEGIN(limit_ms, 0);
  return ended(syscall(SYS_semtimedop, semaphore, &less, 1, &time), EAGAIN);
}
CALL(numbered_msgrcv) {
  struct text text;
  make_queue();
  BEGIN(0, put_message);
  return ended(syscall(SYS_msgrcv, queue, &text, sizeof text.text, 0, 0), 0);
}
CALL(numbered_msgsnd) {
  struct text text = {1, ""};
  fill_queue();
  BEGIN(0, take_messages);
  return ended(syscall(SYS_msgsnd, queue, &text, sizeof text.text, 0), 0);
}
CALL(numbered_io_getevents) {
  unsigned long context = 0;
  char event[32];
  struct timespec time = time_of(limit_ms);
  if (syscall(SYS_io_setup, 1, &context) != 0) return ABSENT;
  BEGIN(limit_ms, 0);
  return ended(syscall(SYS_io_getevents, context, 1, 1, event, &time), 0);
}
#ifdef SYS_io_pgetevents
CALL(numbered_io_pgetevents) {
  unsigned long context = 0;
  char event[32];
  struct timespec time = time_of(limit_ms);
  if (syscall(SYS_io_setup, 1, &context) != 0) return ABSENT;
  BEGIN(limit_ms, 0);
  return ended(syscall(SYS_io_pgetevents, context, 1, 1, event, &time, NONE), 0);
}
#endif
/* libaio's own functions, where it is installed: a negative errno. */
static int get_events(const char *name) {
  unsigned long context = 0;
  char event[32];
  struct timespec time = time_of(limit_ms);
  void *library = dlopen("libaio.so.1", RTLD_NOW);
  if (!library || syscall(SYS_io_setup, 1, &context) != 0) return ABSENT;
  int (*call)(unsigned long, long, long, void *, struct timespec *, sigset_t *);
  *(void **)&call = function(name) ? function(name) : dlsym(library, name);
  if (!call) return ABSENT;
  begin(limit_ms, 0);
  int result = call(context, 1, 1, event, &time, 0);
  CHECK(result == 0 || result == -EINTR, "result %d", result);
  return -result;
}
CALL(io_getevents) { return get_events("io_getevents"); }
CALL(io_pgetevents) { return get_events("io_pgetevents"); }

/* ---- what the kernel or libc restarts ---- */

CALL(read) {
  BEGIN(0, write_in);
  return ended(read(in[0], byte, 1), 0);
}
CALL(waitpid) {
  int ends[2], status;
  CHECK(pipe(ends) == 0);
  in[1] = ends[1]; /* what write_in writes to */
  pid_t child = fork();
  if (child == 0) _exit(read(ends[0], byte, 1) == 1 ? 0 : 1);
  BEGIN(0, write_in);
  return ended(waitpid(child, &status, 0), 0);
}
static sem_t *shared_semaphore;
static void post(void) { sem_post(shared_semaphore); }
CALL(sem_wait) {
  shared_semaphore = mmap(0, sizeof *shared_semaphore, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(shared_semaphore != MAP_FAILED && sem_init(shared_semaphore, 1, 0) == 0);
  BEGIN(0, post);
  int result = sem_wait(shared_semaphore);
  if (result == 0) errno = 77; /* musl leaves another one */
  return ended(result, 0);
}
CALL(pthread_cond_timedwait) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
  struct timespec time;
  pthread_mutex_lock(&mutex);
  BEGIN(limit_ms, 0);
  time = later(CLOCK_REALTIME, limit_ms);
  CHECK(pthread_cond_timedwait(&changed, &mutex, &time) == ETIMEDOUT);
  return 0;
}
CALL(pthread_mutex_timedlock) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  struct timespec time;
  pthread_mutex_lock(&mutex);
  BEGIN(limit_ms, 0);
  time = later(CLOCK_REALTIME, limit_ms);
  CHECK(pthread_mutex_timedlock(&mutex, &time) == ETIMEDOUT);
  return 0;
}
static int queue_fd;
CALL(mq_timedreceive) {
  char name[64], text[8];
  struct mq_attr shape = {.mq_maxmsg = 1, .mq_msgsize = sizeof text};
  struct timespec time;
  snprintf(name, sizeof name, "/interrupts-%d", (int)getpid());
  queue_fd = (int)syscall(SYS_mq_open, name + 1, O_CREAT | O_RDWR, 0600, &shape);
  if (queue_fd < 0) return ABSENT;
  CHECK(syscall(SYS_mq_unlink, name + 1) == 0);
  BEGIN(limit_ms, 0);
  time = later(CLOCK_REALTIME, limit_ms);
  return ended(syscall(SYS_mq_timedreceive, queue_fd, text, sizeof text, 0, &time), ETIMEDOUT);
}
static int locked;
static void unlock(void) { CHECK(flock(locked, LOCK_UN) == 0); }
CALL(flock) {
  char name[] = "/tmp/interrupts-XXXXXX";
  locked = mkstemp(name);
  CHECK(locked >= 0 && flock(locked, LOCK_EX) == 0);
  int other = open(name, O_RDWR);
  CHECK(other >= 0 && unlink(name) == 0);
  BEGIN(0, unlock);
  return ended(flock(other, LOCK_EX), 0);
}

/* ---- all of them ---- */

/* What natively happens when a handler has run. */
enum natively {
  ENDS,     /* EINTR */
  GOES_ON,  /* the call is restarted */
  ANEW,     /* the same, and its time begins anew */
  IS_WOKEN, /* by handlers, which the call waits for */
};

/* musl restarts these itself, futexes where the handlers have SA_RESTART. */
#ifdef __GLIBC__
#define BY_LIBC ENDS
#define WITH_ITS_TIME ENDS
#else
#define WITH_ITS_TIME ANEW
#define BY_LIBC GOES_ON
#endif

#define X(name, natively) {#name, wait_##name, natively}
static const struct {
  const char *name;
  int (*wait)(void);
  enum natively natively;
} calls[] = {
    X(poll, ENDS),
    X(__poll, ENDS),
    X(__poll_chk, ENDS),
    X(poll_for_ever, ENDS),
    X(ppoll, ENDS),
    X(__ppoll_chk, ENDS),
    X(select, ENDS),
    X(__select, ENDS),
    X(pselect, ENDS),
    X(epoll_wait, ENDS),
    X(epoll_wait_for_ever, ENDS),
    X(epoll_pwait, ENDS),
    X(epoll_pwait2, ENDS),
    X(nanosleep, ENDS),
    X(__nanosleep, ENDS),
    X(nanosleep_in_place, ENDS),
    X(clock_nanosleep, ENDS),
    X(clock_nanosleep_until, ENDS),
    X(usleep, ENDS),
    X(sleep, ENDS),
    X(thrd_sleep, ENDS),
    X(sigtimedwait, WITH_ITS_TIME),
    X(sigwaitinfo, BY_LIBC),
    X(sigwait, GOES_ON),
    X(sigwait_for_all, ENDS),
    X(sigwaitinfo_for_all, ENDS),
    X(sigtimedwait_for_all, ENDS),
    X(pause, IS_WOKEN),
    X(sigsuspend, IS_WOKEN),
    X(sigpause, IS_WOKEN),
    X(__sigpause, IS_WOKEN),
    X(__xpg_sigpause, IS_WOKEN),
    X(semop, ENDS),
    X(semtimedop, ENDS),
    X(msgsnd, ENDS),
    X(msgrcv, ENDS),
    X(sem_timedwait, BY_LIBC),
    X(sem_clockwait, BY_LIBC),
    X(aio_suspend, BY_LIBC),
    X(aio_suspend64, BY_LIBC),
    X(io_getevents, ENDS),
    X(io_pgetevents, ENDS),
    X(connect, ENDS),
    X(accept, ENDS),
    X(accept4, ENDS),
    X(recv, ENDS),
    X(__recv_chk, ENDS),
    X(recvfrom, ENDS),
    X(__recvfrom_chk, ENDS),
    X(recvmsg, ENDS),
    X(recvmmsg, ENDS),
    X(send, ENDS),
    X(sendto, ENDS),
    X(sendmsg, ENDS),
    X(sendmmsg, ENDS),
    X(numbered_ppoll, ENDS),
    X(numbered_pselect6, ENDS),
    X(numbered_epoll_pwait, ENDS),
#ifdef SYS_poll
    X(numbered_poll, ENDS),
    X(numbered_select, ENDS),
    X(numbered_epoll_wait, ENDS),
    X(numbered_pause, IS_WOKEN),
#endif
#ifdef SYS_epoll_pwait2
    X(numbered_epoll_pwait2, ENDS),
#endif
    X(numbered_nanosleep, ENDS),
    X(numbered_clock_nanosleep, ENDS),
    X(numbered_clock_nanosleep_until, ENDS),
    X(numbered_rt_sigtimedwait, ENDS),
    X(numbered_rt_sigsuspend, IS_WOKEN),
    X(numbered_semop, ENDS),
    X(numbered_semtimedop, ENDS),
    X(numbered_msgsnd, ENDS),
    X(numbered_msgrcv, ENDS),
    X(numbered_io_getevents, ENDS),
#ifdef SYS_io_pgetevents
    X(numbered_io_pgetevents, ENDS),
#endif
    X(numbered_connect, ENDS),
    X(numbered_recvfrom, ENDS),
    X(numbered_sendto, ENDS),
    X(read, GOES_ON),
    X(waitpid, GOES_ON),
    X(sem_wait, GOES_ON),
    X(pthread_cond_timedwait, GOES_ON),
    X(pthread_mutex_timedlock, GOES_ON),
    X(mq_timedreceive, GOES_ON),
    X(flock, GOES_ON),
};
#define COUNT ((int)(sizeof calls / sizeof *calls))

static void on_signal(int number) {
  if (number != IM_SIGNAL) handled++;
}

static void handle(int number, bool all) {
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
  if (all) sigfillset(&action.sa_mask);
  CHECK(sigaction(number, &action, 0) == 0);
  /* What was asked for is what is shown. */
  CHECK(sigaction(number, 0, &action) == 0 && action.sa_handler == on_signal);
  for (int i = 1; i <= LAST; i++)
    if (i != SIGKILL && i != SIGSTOP && sigismember(&action.sa_mask, SIGTERM) != sigismember(&action.sa_mask, i))
      CHECK(i > SIGSYS && i < SIGRTMIN, "signal %d", i); /* libc's own */
}

/* In a process of its own: exits with 0, or with 2 where there is no such call here. */
static void run(int which) {
  struct epoll_event event = {.events = EPOLLIN};
  int status, result;
  shared = mmap(0, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(shared != MAP_FAILED && pipe(in) == 0);
  set = epoll_create1(0);
  CHECK(epoll_ctl(set, EPOLL_CTL_ADD, in[0], &event) == 0);
  alarm(DEADLINE_MS / 1000); /* whoever hangs fails */
  goes_on = calls[which].natively == GOES_ON || calls[which].natively == ANEW;
  result = calls[which].wait();
  double total = now_ms() - shared->start, last = shared->last - shared->start;
  if (semaphore >= 0) semctl(semaphore, 0, IPC_RMID);
  if (queue >= 0) msgctl(queue, IPC_RMID, 0);
  if (result == ABSENT) {
    if (signaller) kill(signaller, SIGKILL);
    exit(2);
  }
  CHECK(waitpid(signaller, &status, 0) == signaller && status == 0, "%s: status %x", calls[which].name, status);
  enum natively natively = calls[which].natively;
  bool ends = natively == ENDS && who != OURS;
  if (natively == IS_WOKEN && who == NATIVE) ends = true;
  CHECK(result == (ends ? EINTR : 0), "%s: result %d after %f ms, signalled after %f", calls[which].name, result, total,
        last);
  if (ends || limit == 0) exit(0);
  CHECK(total >= limit, "%s: too early, after %f ms", calls[which].name, total);
  CHECK(who != OURS || natively == ANEW || total < last + limit * 0.8,
        "%s: the time begins anew: %f ms, the last signal after %f", calls[which].name, total, last);
  exit(0);
}

/* A handler of the guest's that waits itself, and is interrupted by ours there: then its caller has its EINTR. */
static int lines[2];

static void waits_too(int number) {
  struct pollfd one = quiet();
  (void)number;
  shared->inside = true;
  CHECK(poll(&one, 1, -1) == 1);
}

static void nested(void) {
  struct sigaction action = {.sa_handler = waits_too}, before;
  struct pollfd one;
  int status;
  shared = mmap(0, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(shared != MAP_FAILED && pipe(in) == 0 && pipe(lines) == 0 && sigaction(SIGUSR1, &action, &before) == 0);
  waiter = getpid();
  signaller = fork();
  if (signaller == 0) {
    until('S');
    tell(SIGUSR1);
    while (!shared->inside) sched_yield();
    for (int i = 0; i < SIGNALS; i++) tell_ours();
    until('S');
    write_in();
    exit(0);
  }
  one = (struct pollfd){.fd = lines[0], .events = POLLIN};
  CHECK(poll(&one, 1, -1) == -1 && errno == EINTR);
  CHECK(waitpid(signaller, &status, 0) == signaller && status == 0);
  CHECK(sigaction(SIGUSR1, &before, 0) == 0);
}

static bool is_left_out(int which, char **names) {
  while (*names && strcmp(*names, calls[which].name)) names++;
  return *names;
}

static void all(char **left_out) {
  pid_t running[AT_ONCE];
  for (int first = 0; first < COUNT; first += AT_ONCE) {
    for (int i = 0; i < AT_ONCE && first + i < COUNT; i++) {
      fflush(stdout);
      running[i] = is_left_out(first + i, left_out) ? 0 : fork();
      CHECK(running[i] >= 0);
      if (running[i] == 0 && !is_left_out(first + i, left_out)) run(first + i);
    }
    for (int i = 0; i < AT_ONCE && first + i < COUNT; i++) {
      int status;
      if (!running[i]) continue;
      CHECK(waitpid(running[i], &status, 0) == running[i]);
      CHECK(status == 0 || status == 2 << 8, "%s", calls[first + i].name);
      if (status) printf("absent %s\n", calls[first + i].name);
    }
  }
}

/* valgrind does not make the stack larger for a handler. */
static __attribute__((noinline)) void use_stack(void) {
  volatile char room[1 << 16];
  for (size_t i = 0; i < sizeof room; i += 1024) room[i] = 1;
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  limit_ms = atoi(argv[2]);
  use_stack();
  who = !strcmp(argv[1], "native")    ? NATIVE
        : !strcmp(argv[1], "ours")    ? OURS
        : !strcmp(argv[1], "another") ? ANOTHER
                                      : BOTH;
  if (who == NATIVE) handle(IM_SIGNAL, false);
  handle(SIGUSR1, false);
  if (who == OURS) nested();
  if (who != BOTH) all(argv + 3);
  /* Delivered before ours and after it, with ours blocked by its handler and not. */
  static const int others[] = {SIGUSR1, LAST};
  for (int i = 0; who == BOTH && i < 4; i++) {
    another = others[i % 2];
    handle(another, i / 2);
    all(argv + 3);
  }
  say("ok");
  return 0;
}
