/*
 * Holds packets back. Every packet that is routed in the namespace is sent to a TUN link, waits here, is written back
 * to the same link and then routed to its destination. Packets stay as large as senders' offloading made them
 * (virtio-net headers), so that one copy moves up to 64 KB.
 */
#define _GNU_SOURCE
#include "base/clock.h"
#include "netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define LINK "delay"
#define TABLE 7
/* Before the kernel's own rule for the main table, 32766. */
enum { OWN = 10, RETURNING = 20, DELAYED = 30 };

#define QUEUE_SIZE (64u << 20)
#define LARGEST (65536 + 64)
#define LINK_QUEUE 10000
#define BATCH 64

struct waiting {
  int64_t due;
  uint32_t size;
};

static int tun = -1;
static bool routed;
static _Atomic int64_t delay; /* nanoseconds */

static bool open_link(void *unused) {
  (void)unused;
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return fail(errno, "a delay needs /dev/net/tun");
  struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
  strcpy(request.ifr_name, LINK);
  if (ioctl(fd, TUNSETIFF, &request) != 0) return fail(errno, "a delay needs a TUN link"), close(fd), false;
  ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN);
  tun = fd;
  return true;
}

/* A ring of packets, each in one piece: where the end has no room for the largest, the next one begins at the start. */
static char *queue;
static size_t head, tail;
static bool empty = true;

/* `tail` itself always has room to the end. */
static bool has_room(void) { return empty || head < tail || head - tail >= sizeof(struct waiting) + LARGEST; }

static size_t next_start(size_t at) { return QUEUE_SIZE - at >= sizeof(struct waiting) + LARGEST ? at : 0; }

/* Takes one from the link. What finds no room is lost, as on any full link. */
static bool take(void) {
  static char lost[LARGEST];
  if (!has_room()) return read(tun, lost, sizeof lost) > 0;
  struct waiting *packet = (struct waiting *)(queue + tail);
  ssize_t size = read(tun, packet + 1, LARGEST);
  if (size <= 0) return false;
  *packet = (struct waiting){clock_now() + delay, (uint32_t)size};
  tail = next_start(tail + ((sizeof *packet + (size_t)size + 15) & ~(size_t)15));
  empty = false;
  return true;
}

static void pass_on(void) {
  const struct waiting *packet = (const struct waiting *)(queue + head);
  ssize_t written = write(tun, packet + 1, packet->size);
  (void)written;
  head = next_start(head + ((sizeof *packet + packet->size + 15) & ~(size_t)15));
  empty = head == tail;
}

static void *run(void *unused) {
  (void)unused;
  prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
  for (;;) {
    int64_t left = empty ? 0 : ((const struct waiting *)(queue + head))->due - clock_now();
    if (left < 0) left = 0;
    struct timespec timeout = {(time_t)(left / (1000 * IM_MS)), (long)(left % (1000 * IM_MS))};
    struct pollfd polled = {.fd = tun, .events = POLLIN};
    ppoll(&polled, 1, empty ? NULL : &timeout, NULL);
    for (int i = 0; i < BATCH && take(); i++) continue;
    for (int i = 0; i < BATCH && !empty && ((const struct waiting *)(queue + head))->due <= clock_now(); i++) pass_on();
  }
  return NULL;
}

static bool start(const struct im_space *space) {
  if (!inside_run(space, open_link, NULL)) return false;
  queue = mmap(NULL, QUEUE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (queue == MAP_FAILED) return fail(errno, "memory for a delay");
  if (!links_set_up(space, LINK, LINK_QUEUE) || !links_set_forwarding(space, LINK)) return false;
  if (!links_change_route(space, true, "0.0.0.0/0", LINK, NULL, TABLE)) return false;
  /* What this namespace says itself (ICMP errors) has addresses that it would not take back. */
  if (!links_change_rule(space, true, OWN, "lo", 0) || !links_change_rule(space, true, RETURNING, LINK, 0))
    return false;
  pthread_t thread;
  int error = pthread_create(&thread, NULL, run, NULL);
  return error == 0 || fail(error, "thread");
}

/* Packets that wait when the delay changes keep theirs, and their order. */
bool delay_set(struct im_space *space, const char *microseconds) {
  delay = strtoll(microseconds, NULL, 10) * 1000;
  if (tun < 0 && delay == 0) return true;
  if (tun < 0 && !start(space)) return false;
  bool wanted = delay > 0;
  if (wanted != routed && !links_change_rule(space, wanted, DELAYED, NULL, TABLE)) return false;
  routed = wanted;
  return true;
}
