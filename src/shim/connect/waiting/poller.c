#include "poller.h"

#include "connect/tcp.h"
#include "core/request.h"

#include <sys/epoll.h>

static struct im_private_fd set = {-1, 0}, wake_in = {-1, 0}, wake_out = {-1, 0}, line = {-1, 0}, closed_port = {-1, 0},
                            black_hole = {-1, 0};

/* Without a supervisor there is no line; then every question fails, as it should. */
bool poller_open(void) {
  int pair[2];
  struct epoll_event event = {.events = EPOLLIN};
  if (!private_fd_move(epoll_create1(EPOLL_CLOEXEC), &set) || !private_fd_move(tcp_closed_port(), &closed_port) ||
      socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
    return false;
  private_fd_move(tcp_black_hole(), &black_hole); /* without it a pending connect is only not given up so well */
  bool kept = private_fd_move(pair[0], &wake_in);
  kept = private_fd_move(pair[1], &wake_out) && kept;
  if (!kept || libc_epoll_ctl(set.fd, EPOLL_CTL_ADD, wake_in.fd, &event) != 0) return false;
  event.events = 0;
  int questions = request_line();
  return questions < 0 ||
         (private_fd_move(questions, &line) && libc_epoll_ctl(set.fd, EPOLL_CTL_ADD, line.fd, &event) == 0);
}

/* An epoll set has no inode of its own; but only ours knows our own socket. */
bool poller_alive(void) {
  struct epoll_event event = {.events = EPOLLIN};
  return private_fd_valid(&wake_out) && private_fd_valid(&wake_in) &&
         libc_epoll_ctl(set.fd, EPOLL_CTL_MOD, wake_in.fd, &event) == 0;
}

void poller_close(void) {
  if (poller_alive() || private_fd_valid(&set)) libc_close(set.fd);
  set = IM_NONE;
  private_fd_close(&wake_in);
  private_fd_close(&wake_out);
  private_fd_close(&line);
  private_fd_close(&closed_port);
  private_fd_close(&black_hole);
}

void poller_wake(void) { (void)libc_send(wake_out.fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT); }

void poller_woken(void) {
  char bytes[64];
  while (recv(wake_in.fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0) continue;
}

int poller_set(void) { return set.fd; }

/* An event may come after its time (another process can keep a description open), so it carries the use's id too. */
static uint64_t event_of(const struct im_pending *pending, unsigned which) {
  return (uint64_t)(uintptr_t)pending << 16 | (pending->id & 0x3fff) << 2 | which;
}

bool poller_watch(const struct im_private_fd *kept, uint32_t events, struct im_pending *pending, unsigned which) {
  struct epoll_event event = {.events = events, .data.u64 = event_of(pending, which)};
  return private_fd_valid(kept) && libc_epoll_ctl(set.fd, EPOLL_CTL_ADD, kept->fd, &event) == 0;
}

void poller_unwatch(const struct im_private_fd *kept) {
  if (private_fd_valid(kept)) libc_epoll_ctl(set.fd, EPOLL_CTL_DEL, kept->fd, 0);
}

struct im_pending *poller_pending(uint64_t event, unsigned *which) {
  struct im_pending *pending = (struct im_pending *)(uintptr_t)(event >> 16);
  *which = event & 3;
  return *which && event_of(pending, *which) == event ? pending : 0;
}

int poller_line(void) { return private_fd_valid(&line) ? line.fd : -1; }

void poller_watch_line(bool full) {
  struct epoll_event event = {.events = full ? EPOLLOUT : 0};
  if (line.fd >= 0) libc_epoll_ctl(set.fd, EPOLL_CTL_MOD, line.fd, &event);
}

int poller_closed_port(void) { return private_fd_valid(&closed_port) ? closed_port.fd : -1; }

int poller_black_hole(void) { return private_fd_valid(&black_hole) ? black_hole.fd : -1; }
