#include "marks.h"

#include "contract/abi/abi.h"
#include "core/kernel.h"
#include "core/libc_files.h"
#include "core/libc_waits.h"
#include "core/sockets.h"
#include "core/table.h"
#include "interrupts/interrupts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define AT_ONCE 256
/* The kernel's timers run at its next tick, of which it has 100 a second or more. */
#define TICK_MS 12
/* Where /proc is not there. */
#define MOST_DESCRIPTORS 65536u

/* Connections that are being probed, and the guest's own options of each. */
static struct {
  uint64_t cookie;
  int fd, on, idle;
} probed[AT_ONCE];
static unsigned probes;
static atomic_flag busy = ATOMIC_FLAG_INIT;

/*
 * What has arrived and was not read is the guest's: it has its reset later. Unless it may be blocked in a send, which
 * has been acknowledged by nobody.
 */
static void reset(int fd, uint64_t cookie) {
  int unread = 0, unsent = 0;
  if (libc_ioctl(fd, FIONREAD, &unread) == 0 && unread > 0 && libc_ioctl(fd, SIOCOUTQ, &unsent) == 0 && unsent == 0)
    return;
  sockets_clear(cookie, IM_HAS_PEER);
  kernel_disconnect(fd);
  /*
   * As after a reset by the peer, whose error is reported once: then there is nothing to read, instead of ENOTCONN.
   * Some kernels refuse to disconnect while another thread waits for this socket: it wakes, and the next signal resets.
   */
  libc_shutdown(fd, SHUT_RDWR);
}

/* The kernel sends its probe at once when the socket has been quiet for longer than the time that is set. */
static void probe(int fd, uint64_t cookie) {
  int on = 1, idle = 1;
  if (probes == AT_ONCE) return; /* its turn is another time: the mark says so */
  sockets_clear(cookie, IM_WANTS_PROBE);
  probed[probes].cookie = cookie;
  probed[probes].fd = fd;
  probed[probes].on = kernel_int(fd, SOL_SOCKET, SO_KEEPALIVE, 0);
  probed[probes].idle = kernel_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, 0);
  probes++;
  libc_setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  libc_setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
}

static void probes_end(void) {
  if (probes == 0) return;
  (void)libc_poll(0, 0, TICK_MS);
  for (; probes > 0; probes--) {
    int fd = probed[probes - 1].fd, on = probed[probes - 1].on, idle = probed[probes - 1].idle;
    if (sockets_cookie(fd) != probed[probes - 1].cookie) continue; /* the guest has closed it meanwhile */
    if (idle > 0) libc_setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    if (!on) libc_setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  }
}

static void heed(int fd) {
  struct im_socket socket;
  uint64_t cookie = sockets_cookie(fd);
  if (!cookie || !sockets_get(cookie, &socket) || !(socket.flags & IM_IS_HANDOFF)) return;
  if (socket.flags & IM_HAS_ENDED)
    reset(fd, cookie);
  else if (socket.flags & IM_WANTS_PROBE)
    probe(fd, cookie);
}

static int number_of(const char *text) {
  int number = 0;
  if (!*text) return -1;
  for (; *text; text++) {
    if (*text < '0' || *text > '9') return -1;
    number = number * 10 + (*text - '0');
  }
  return number;
}

struct entry { /* linux_dirent64 */
  uint64_t inode;
  int64_t offset;
  uint16_t length;
  uint8_t type;
  char name[];
};

static bool heed_listed(void) {
  union {
    uint64_t align;
    char bytes[1024];
  } buffer;
  int list = libc_open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (list < 0) return false;
  for (long size; (size = syscall(SYS_getdents64, list, &buffer, sizeof buffer)) > 0;)
    for (long at = 0; at < size;) {
      const struct entry *entry = (const void *)(buffer.bytes + at);
      int fd = number_of(entry->name);
      if (fd >= 0 && fd != list) heed(fd);
      at += entry->length;
    }
  libc_close(list);
  return true;
}

static void heed_all(void) {
  struct rlimit limit;
  if (heed_listed() || libc_prlimit(0, RLIMIT_NOFILE, 0, &limit) != 0) return;
  for (unsigned fd = 0; fd < limit.rlim_cur && fd < MOST_DESCRIPTORS; fd++) heed((int)fd);
}

static void heed_marks(void) {
  if (atomic_flag_test_and_set(&busy)) return; /* another thread is at it */
  heed_all();
  probes_end();
  atomic_flag_clear(&busy);
}

static void on_signal(int number, siginfo_t *info, void *context) {
  IM_KEEP_ERRNO;
  (void)number, (void)info;
  heed_marks();
  if (interrupts_hit(context)) interrupts_hide(context, kept_errno);
}

/* Who waits for one of the last signals only, by its number, has its own in mind. */
static bool waits_for_all(const sigset_t *set) {
  for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
    if (sigismember(set, number) != 1) return false;
  return true;
}

bool marks_taken(const sigset_t *set, int number, const siginfo_t *info) {
  IM_KEEP_ERRNO;
  if (number != IM_SIGNAL || !interrupts_expected || !waits_for_all(set)) return false;
  if (info->si_code != SI_USER || info->si_pid == getpid()) return false; /* its own */
  heed_marks();
  return true;
}

static void after_fork(void) { atomic_flag_clear(&busy); }

void marks_start_of_process(void) {
  /* All signals are blocked: which of them come meanwhile is to be known at the end. */
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_RESTART | SA_ONSTACK | SA_SIGINFO};
  sigset_t ours;
  if (!table_cluster()->handoff) return;
  sigemptyset(&ours);
  sigaddset(&ours, IM_SIGNAL);
  sigfillset(&action.sa_mask);
  if (libc_sigaction(IM_SIGNAL, &action, 0) != 0) return;
  interrupts_start(on_signal);
  pthread_sigmask(SIG_UNBLOCK, &ours, 0);
  IM_ATFORK(0, 0, after_fork);
}
