#define _GNU_SOURCE
#include "base/secret.h"
#include "internal.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct im_stage waiting, connecting, hello;

/*
 * A guest's socket may be of either family, and the kernel turns an IPv6 one with mapped addresses into an IPv4 one,
 * not the other way round. So they are IPv6 ones here, where the kernel has it: where it has not, no guest has one
 * either.
 */
static struct {
  pthread_once_t once;
  int family, only; /* `only`: net.ipv6.bindv6only is on */
} sockets = {.once = PTHREAD_ONCE_INIT, .family = AF_INET};

/* Asked once, as each call counts where the other side is close. */
static void find_family(void) {
  socklen_t size = sizeof sockets.only;
  int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 && errno == EAFNOSUPPORT) return;
  sockets.family = AF_INET6;
  if (fd < 0 || getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &sockets.only, &size) != 0) sockets.only = 1;
  if (fd >= 0) close(fd);
}

static int family_socket(void) {
  int off = 0;
  pthread_once(&sockets.once, find_family);
  int fd = socket(sockets.family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd >= 0 && sockets.only) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  return fd;
}

/* In the sockets' family; its size. */
static socklen_t address_of(uint32_t ip, uint16_t port, union im_address *address) {
  *address = (union im_address){.four = connection_address(ip, port)};
  if (sockets.family == AF_INET) return sizeof address->four;
  struct in_addr four = address->four.sin_addr;
  *address = (union im_address){.six = {.sin6_family = AF_INET6, .sin6_port = htons(port)}};
  address->six.sin6_addr.s6_addr[10] = address->six.sin6_addr.s6_addr[11] = 0xff;
  memcpy(&address->six.sin6_addr.s6_addr[12], &four, sizeof four);
  return sizeof address->six;
}

static int connect_to(int fd, const struct im_opening *what) {
  union im_address to;
  socklen_t size = address_of(what->remote, what->remote_port, &to);
  return connect(fd, &to.any, size);
}

/*
 * From the chosen port, which other connections of ours may use too: they differ in where they go. Both sides connect:
 * the kernel makes one connection of two SYNs that cross, and of one SYN that meets a socket which has sent its own.
 */
static int make_socket(const struct im_opening *what) {
  int on = 1, fd = family_socket();
  if (fd < 0) return -1;
  union im_address from;
  socklen_t size = address_of(what->local, what->local_port, &from);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (!what->local_port || bind(fd, &from.any, size) == 0) return fd;
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

int opening_prepare(struct im_connection *connection) {
  /* What the kernel chooses is written there, too, once it stands. */
  if (!connection->tries) connection->chosen = connection->what.local_port != 0;
  connection->fd = make_socket(&connection->what);
  return connection->fd < 0 ? errno : 0;
}

int opening_go(const struct im_connection *connection) {
  if (connection->what.listens) return listen(connection->fd, 8) == 0 ? 0 : errno;
  return connect_to(connection->fd, &connection->what) == 0 || errno == EINPROGRESS ? 0 : errno;
}

int opening_connect(struct im_connection *connection) {
  int error = opening_prepare(connection);
  return error ? error : opening_go(connection);
}

/* ---- stages: another try, connecting ---- */

/*
 * After an answer that says no: the other side (or its NAT) is not there yet. Two SYNs only meet if each side's is
 * under way for a good part of the time, and on a path that answers it is so for no longer than a round trip. So three
 * of four tries follow at once; the pause after the fourth grows slowly.
 */
static int64_t pause_after(unsigned tries) { return tries % 4 ? 0 : (1 + tries / 64) * IM_MS; }

static void try_again(struct im_connector *connector, struct im_connection *connection) {
  reactor_unwatch(&connector->reactor, &connection->of_fd);
  close(connection->fd);
  connection->fd = -1;
  connection->tries++;
  connection->sent = connection->got = 0; /* of the connection before */
  connection->stage = &waiting;
  connection_at(connector, connection, clock_now() + pause_after(connection->tries));
}

/* What a NAT that is not open yet, or a path that is not there yet, answers. */
static bool worth_another_try(int error) {
  return error == ECONNREFUSED || error == EHOSTUNREACH || error == ENETUNREACH || error == ECONNRESET;
}

/* 0: another try follows. Otherwise it has failed. */
static int refused(struct im_connector *connector, struct im_connection *connection, int error) {
  /* Only from a port of our choice does another try meet another moment. */
  if (connection->what.local_port && worth_another_try(error)) return try_again(connector, connection), 0;
  return connection_fail(connector, connection, error), error;
}

static void on_met(struct im_connector *connector, struct im_connection *connection) {
  connection->stage = &hello;
  if (connection_watch(connector, connection)) hello.on_event(connector, connection, EPOLLIN);
}

int opening_start(struct im_connector *connector, struct im_connection *connection, int error) {
  connection_at(connector, connection, IM_NEVER);
  connection->stage = &connecting;
  connection->on_met = on_met;
  if (connection->what.listens && !(error = meeting_wait(connector, connection, error))) return 0;
  if (connection->fd < 0) return connection_fail(connector, connection, error), error;
  if (error) return refused(connector, connection, error);
  connection_watch(connector, connection);
  return 0;
}

static void on_retry(struct im_connector *connector, struct im_connection *connection) {
  opening_start(connector, connection, opening_connect(connection));
}

static const struct im_stage waiting = {.opening = true, .on_time = on_retry};

static void on_connect(struct im_connector *connector, struct im_connection *connection, uint32_t events) {
  int error = 0;
  socklen_t size = sizeof error;
  if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) return;
  if (getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error) return (void)refused(connector, connection, error);
  if (!connection->what.local_port) {
    union im_address local;
    size = sizeof local;
    if (getsockname(connection->fd, &local.any, &size) == 0) connection->what.local_port = ntohs(local.four.sin_port);
  }
  /* What a guest accepts has no connect of its own to be finished. */
  bool accepted = connection->what.purpose == IM_POOL_IN || connection->what.purpose == IM_DELIVER;
  if (accepted && connect_to(connection->fd, &connection->what) != 0)
    return (void)refused(connector, connection, errno);
  connection->stage = &hello;
  hello.on_event(connector, connection, events);
}

static const struct im_stage connecting = {.opening = true, .on_event = on_connect};

/* ---- stage: each side proves itself ---- */

static const int KEEP_ALIVE_NAMES[] = {TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT};

static void keep_alive(int fd, int on, const int *times) {
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  for (size_t i = 0; i < IM_KEEP_ALIVE_TIMES; i++)
    setsockopt(fd, IPPROTO_TCP, KEEP_ALIVE_NAMES[i], &times[i], sizeof times[i]);
}

/* Found out within seconds when the connection is quiet; an own one at once when what is sent is not acknowledged. */
void opening_keep_alive(int fd, bool ours) {
  static const int soon[IM_KEEP_ALIVE_TIMES] = {5, 2, 2}, unacknowledged = 1500;
  keep_alive(fd, 1, soon);
  if (ours) setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged, sizeof unacknowledged);
}

void opening_for_guest(const struct im_connector *connector, int fd) { keep_alive(fd, 0, connector->keep_alive); }

void opening_read_defaults(struct im_connector *connector) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  socklen_t size = sizeof *connector->keep_alive;
  if (fd < 0) return;
  for (size_t i = 0; i < IM_KEEP_ALIVE_TIMES; i++)
    getsockopt(fd, IPPROTO_TCP, KEEP_ALIVE_NAMES[i], &connector->keep_alive[i], &size);
  close(fd);
}

static void opened(struct im_connector *connector, struct im_connection *connection) {
  const struct im_asker *asker = connection->asker;
  connection->asker = NULL;
  connection_until(connector, connection, clock_now() + connection->what.ttl * IM_MS);
  if (asker) asker->on_open(connector, connection);
  connection->use->on_open(connector, connection);
}

/*
 * Not one byte more than was announced: what follows is the guest's. A secret may come in any number of segments, so it
 * is collected in the connection and compared once it is whole.
 */
static int read_expected(struct im_connection *connection) {
  const struct im_opening *what = &connection->what;
  size_t missing = (size_t)(what->expect_size - connection->got);
  ssize_t got = recv(connection->fd, connection->header + connection->got, missing, MSG_DONTWAIT);
  if (got == 0) return ECONNRESET;
  if (got < 0) return errno == EAGAIN || errno == EINTR ? EAGAIN : errno;
  connection->got = (uint8_t)(connection->got + got);
  if (connection->got < what->expect_size) return EAGAIN;
  return secret_is(connection->header, what->expect, what->expect_size) ? 0 : EBADMSG;
}

static int prove(struct im_connection *connection) {
  const struct im_opening *what = &connection->what;
  if (what->purpose >= IM_SIGNALLING_OUT) return 0; /* each frame proves itself */
  /* In a pool one side proves itself now, the other one when it is used: that is a packet less, and soon enough. */
  while (what->purpose != IM_POOL_OUT && connection->sent < what->send_size) {
    ssize_t sent = send(connection->fd, what->send + connection->sent, (size_t)(what->send_size - connection->sent),
                        MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN || errno == EINTR ? EAGAIN : errno;
    connection->sent = (uint8_t)(connection->sent + sent);
  }
  if (what->purpose != IM_POOL_IN && connection->got < what->expect_size) return read_expected(connection);
  return 0;
}

static void on_hello(struct im_connector *connector, struct im_connection *connection, uint32_t events) {
  (void)events;
  int result = prove(connection);
  if (result == 0) return opened(connector, connection);
  if (result == EAGAIN) return;
  /* A listener that waits at that port for another one resets this one, before it sends anything. */
  bool away = connection->chosen && connection->what.expect_size && !connection->got && !connection->what.listens;
  if (away && result == ECONNRESET) return (void)refused(connector, connection, result);
  connection_fail(connector, connection, result);
}

static const struct im_stage hello = {.opening = true, .on_event = on_hello};

void opening_proved(struct im_connector *connector, struct im_connection *connection) {
  if (connection->got) return; /* it says it here, too */
  connection->what.expect_size = 0;
  if (connection->stage == &hello) on_hello(connector, connection, EPOLLIN);
}
