#include "tcp.h"

#include "contract/abi/abi.h"
#include "core/kernel.h"
#include "core/sockets.h"
#include "core/table.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

/* ECONNRESET: what listened there has ended after the kernel had queued the connection. */
bool tcp_worth_locating(int error) {
  return error == ECONNREFUSED || error == ECONNRESET || error == EHOSTUNREACH || error == ENETUNREACH ||
         error == ETIMEDOUT;
}

static int kernel_state(int fd) {
  uint8_t state = TCP_CLOSE;
  socklen_t size = sizeof state;
  return libc_getsockopt(fd, IPPROTO_TCP, TCP_INFO, &state, &size) == 0 ? state : TCP_CLOSE;
}

bool tcp_is_closed(int fd) { return kernel_state(fd) == TCP_CLOSE; }

enum im_connection tcp_state(int fd) {
  int state = kernel_state(fd);
  if (state == TCP_SYN_SENT || state == TCP_SYN_RECV) return IM_CONNECTING;
  return state == TCP_CLOSE ? IM_FAILED : IM_CONNECTED;
}

int tcp_take_error(int fd) { return kernel_int(fd, SOL_SOCKET, SO_ERROR, 0); }

void tcp_reset(int fd) {
  tcp_take_error(fd);
  kernel_disconnect(fd);
}

int tcp_connect(int fd, const struct im_addr *to, uint32_t real, uint16_t real_port, uint32_t source) {
  struct im_addr there = addr_real(to, real, real_port);
  if (source) kernel_bind_source(fd, to, source);
  /* By arithmetic the guest would see the host that was chosen for a service. */
  bool chosen = table_is_virtual(to->ip) && ((real ^ to->ip) & 0xffff);
  if (chosen || real_port != to->port || to->form >= IM_FORM_V6_ANY || addr_is_other_loopback(to->ip))
    sockets_note_peer(fd, to);
  return kernel_connect(fd, &there);
}

int tcp_closed_port(void) {
  struct im_addr loop = {.ip = IM_LOOPBACK, .form = IM_FORM_V4};
  int closed_port = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (closed_port < 0 || kernel_bind(closed_port, &loop) == 0) return closed_port;
  libc_close(closed_port);
  return -1;
}

/* A connect to a closed port or to a black hole, with an address that fits the socket. */
static void connect_to(int fd, int port) {
  struct im_addr there;
  if (!kernel_local(port, &there)) return;
  there.form = kernel_family(fd) == AF_INET6 ? IM_FORM_MAPPED : IM_FORM_V4;
  kernel_connect(fd, &there);
}

/* Its queue is full, with a connection that is never accepted: the next connect is dropped, not refused. */
int tcp_black_hole(void) {
  int black_hole = tcp_closed_port(), caller = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  bool listens = black_hole >= 0 && caller >= 0 && libc_listen(black_hole, 0) == 0;
  if (listens) connect_to(caller, black_hole);
  if (caller >= 0) libc_close(caller);
  if (listens || black_hole < 0) return black_hole;
  libc_close(black_hole);
  return -1;
}

void tcp_unanswered(int fd, int black_hole) {
  IM_KEEP_ERRNO;
  int status = fcntl(fd, F_GETFL);
  if (black_hole >= 0 && status >= 0 && tcp_is_closed(fd)) {
    if (!(status & O_NONBLOCK)) fcntl(fd, F_SETFL, status | O_NONBLOCK);
    connect_to(fd, black_hole);
    if (!(status & O_NONBLOCK)) fcntl(fd, F_SETFL, status);
  }
}

void tcp_refuse(int fd, int error, int closed_port) {
  if (error != ECONNREFUSED) sockets_note_error(fd, error);
  tcp_reset(fd);
  connect_to(fd, closed_port);
}
