#define _GNU_SOURCE
#include "contract/abi/abi.h"
#include "base/secret.h"
#include "connector.h"
#include "siphash.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/*
 * A guest that finds nothing in the pool is connected by two SYNs that cross; the other side is told of it here, from
 * connector to connector, as JavaScript and TLS at both ends would cost more than the way. What is said is short, is
 * seen by everybody in the SYNs that follow, and has to be believed: it is in clear, with a tag that only the two of
 * them can make.
 */
enum kind { CALL = 1, BUSY = 2, FILL = 3 };
#define MOST_AT_ONCE 64

struct frame {
  uint8_t kind, zero[3];
  uint32_t call;
  uint16_t from, to, port, source_port;
  uint8_t tag[8];
};
_Static_assert(sizeof(struct frame) == 24, "frame");
#define TAGGED 16

/* What a call is about, until it is answered. */
struct im_call {
  uint32_t call;
  struct im_request request;
  struct im_requester requester;
};

struct im_signalling {
  struct im_signalling *next;
  struct im_connection *connection;
  uint64_t sent, heard; /* frames */
  struct frame part;
  size_t got;
  uint16_t to,
      left; /* the next of the other side's ports; see `pairedSequence` in src/runtime/transport/punched/ports.ts */
  uint32_t distance;                   /* of a round trip, as it was last; microseconds */
  int64_t missed;                      /* when IM_EVENT_MISSED was told last */
  struct im_pair called[MOST_AT_ONCE]; /* for the pool: begun together */
  size_t called_count;
};

#define MISSED_PAUSE 10 /* milliseconds: it wakes JavaScript, beside a guest that is being connected */
#define TIMEOUT 2000    /* milliseconds: as `PUNCH_LIMIT` in src/runtime/transport/punched/punch.ts */
/*
 * Nanoseconds by which our SYN follows the call, where the way is longer than that: it then finds the other side's NAT
 * open, as that one's has left, and the connection stands a round trip earlier than when it has to wait for the other
 * SYN. Where the other side is close, ours goes first, to open our own NAT for its.
 */
#define HOLD 100000

static void make_tag(const uint8_t *key, uint64_t number, const struct frame *frame, uint8_t *tag) {
  uint8_t bytes[TAGGED + sizeof number];
  memcpy(bytes, frame, TAGGED);
  memcpy(bytes + TAGGED, &number, sizeof number);
  uint64_t hash = siphash(key, bytes, sizeof bytes);
  memcpy(tag, &hash, sizeof hash);
}

/* Both ends have the same byte order: x86_64 and arm64 are little. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "byte order");

static bool say(struct im_signalling *channel, struct frame *frames, size_t count) {
  const struct im_connection *connection = channel->connection;
  size_t size = count * sizeof *frames;
  for (size_t i = 0; i < count; i++) make_tag(connection->what.send, channel->sent++, &frames[i], frames[i].tag);
  if (send(connection->fd, frames, size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size) return true;
  shutdown(connection->fd, SHUT_RDWR); /* the thread sees it, and forgets it */
  return false;
}

static struct im_signalling *signalling_to(const struct im_connector *connector, uint32_t peer) {
  struct im_signalling *channel = connector->channels;
  while (channel && (channel->connection->what.peer != peer || channel->connection->what.purpose != IM_SIGNALLING_OUT))
    channel = channel->next;
  return channel;
}

/* As the kernel has measured it on that connection. */
static uint32_t distance_of(int fd) {
  struct tcp_info info = {0};
  socklen_t size = sizeof info;
  return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 ? info.tcpi_rtt : UINT32_MAX;
}

/* A member that makes another one does not need those before, and would have any number of them. */
static void end_earlier(const struct im_signalling *channel) {
  uint32_t peer = channel->connection->what.peer;
  for (const struct im_signalling *other = channel->next; other; other = other->next)
    if (other->connection->what.purpose == IM_SIGNALLING_IN && other->connection->what.peer == peer)
      shutdown(other->connection->fd, SHUT_RDWR); /* the thread sees it, and forgets it */
}

void signalling_start(struct im_connector *connector, struct im_connection *connection) {
  struct im_signalling *channel = calloc(1, sizeof *channel);
  connection->stage = IM_SIGNALLING;
  connection->deadline = INT64_MAX;
  if (!channel) return connector_close(connector, connection);
  channel->connection = connection;
  channel->to = (uint16_t)connector_now();
  channel->distance = distance_of(connection->fd);
  channel->left = connection->what.their_count;
  channel->next = connector->channels;
  connector->channels = channel;
  if (connection->what.purpose == IM_SIGNALLING_IN) end_earlier(channel);
  signalling_event(connector, connection);
}

void signalling_forget(struct im_connector *connector, const struct im_connection *connection) {
  for (struct im_signalling **place = &connector->channels; *place; place = &(*place)->next) {
    struct im_signalling *channel = *place;
    if (channel->connection != connection) continue;
    *place = channel->next;
    free(channel);
    break;
  }
  if (connection->what.purpose != IM_SIGNALLING_OUT) return;
  connector->tell(connector->context, IM_EVENT_SIGNALLING_ENDED, connection->what.peer, 0);
  /* What was called over it is not going to be answered, perhaps. */
  for (struct im_connection *other = connector->all; other; other = other->next)
    if (other->call && other->what.peer == connection->what.peer) other->deadline = 0;
  connector_hurry(connector, 0);
}

/* ---- the side that calls ---- */

static int64_t nanoseconds(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void alarm_at(struct im_connector *connector, int64_t moment) {
  struct itimerspec when = {.it_value = {.tv_sec = moment / 1000000000, .tv_nsec = moment % 1000000000}};
  timerfd_settime(connector->timer, TFD_TIMER_ABSTIME, &when, NULL);
  connector->alarm = moment;
}

void signalling_alarm(struct im_connector *connector) {
  int64_t now = nanoseconds(), next = 0;
  uint64_t times;
  ssize_t got = read(connector->timer, &times, sizeof times);
  (void)got;
  connector->alarm = 0;
  for (struct im_connection *connection = connector->all, *after; connection; connection = after) {
    after = connection->next;
    if (connection->stage != IM_HELD) continue;
    if (connection->held_until <= now)
      open_start(connector, connection, open_go(connection));
    else if (!next || connection->held_until < next)
      next = connection->held_until;
  }
  if (next) alarm_at(connector, next);
}

static uint16_t next_to(struct im_signalling *channel) {
  const struct im_opening *terms = &channel->connection->what;
  if (channel->left-- == 0) {
    channel->to++;
    channel->left = (uint16_t)(terms->their_count - 1);
  }
  return (uint16_t)(terms->their_first + channel->to++ % terms->their_count);
}

/* What is made over a signalling channel: all but its ports, and whom it is for. */
static struct im_opening opening_over(const struct im_opening *terms, enum im_purpose purpose) {
  return (struct im_opening){.purpose = purpose,
                             .peer = terms->peer,
                             .epoch = terms->epoch,
                             .local = terms->local,
                             .remote = terms->remote,
                             .timeout = TIMEOUT,
                             .ttl = terms->ttl,
                             .reply_to = -1};
}

bool signalling_call(struct im_connector *connector, const struct im_request *request, int reply_to,
                     const struct im_requester *requester, bool ready) {
  struct im_signalling *channel = signalling_to(connector, request->address);
  struct im_connection *connection = channel ? calloc(1, sizeof *connection) : NULL;
  struct im_call *asked = connection ? malloc(sizeof *asked) : NULL;
  if (!asked) return free(connection), false;
  const struct im_opening *terms = &channel->connection->what;
  *asked = (struct im_call){.call = ++connector->calls, .request = *request, .requester = *requester};
  connection->signal = -1;
  connection->call = asked;
  connection->what = opening_over(terms, IM_GIVE);
  connection->what.local_port = (uint16_t)(terms->own_first + asked->call % terms->own_count);
  connection->what.remote_port = next_to(channel);
  connection->what.source_port = request->real_port;
  connection->what.reply_to = reply_to;
  struct frame frame = {.kind = CALL,
                        .call = asked->call,
                        .from = connection->what.local_port,
                        .to = connection->what.remote_port,
                        .port = request->port,
                        .source_port = request->real_port ? request->real_port : connection->what.local_port};
  bool held = channel->distance > connector->close_by;
  /* Ports of ours that are in use are found out before the other side hears of them. */
  if (open_prepare(connection) != 0 || (!held && open_go(connection) != 0) || !say(channel, &frame, 1)) {
    if (connection->fd >= 0) close(connection->fd);
    free(asked);
    free(connection);
    return false;
  }
  connector_add(connector, connection);
  /* Where it is there soon, hearing that it is not yet would only make it later. */
  if (ready && held) shim_not_yet(reply_to);
  if (ready && !held) connection->tell_by = connector_now() + connector->soon;
  connector_hurry(connector, connection->tell_by ? connection->tell_by : connection->deadline);
  if (!held) return open_start(connector, connection, 0), true;
  connection->stage = IM_HELD;
  connection->held_until = nanoseconds() + HOLD;
  if (!connector->alarm) alarm_at(connector, connection->held_until);
  return true;
}

/*
 * A pooled connection's two secrets are nobody else's, as the signalling channel's keys and the call's number are not.
 */
static struct im_pair pair_of(const struct im_opening *terms, uint32_t call, uint16_t own, uint16_t other) {
  struct im_pair pair = {.local_port = own, .remote_port = other};
  uint8_t bytes[sizeof call + 1];
  memcpy(bytes, &call, sizeof call);
  for (uint8_t part = 0; part < 2; part++) {
    bytes[sizeof call] = part;
    uint64_t ours = siphash(terms->send, bytes, sizeof bytes), theirs = siphash(terms->expect, bytes, sizeof bytes);
    memcpy(pair.ours + part * sizeof ours, &ours, sizeof ours);
    memcpy(pair.theirs + part * sizeof theirs, &theirs, sizeof theirs);
  }
  return pair;
}

static int call_many(struct im_connector *connector, uint32_t id, uint32_t peer, uint32_t count, uint32_t low) {
  struct im_signalling *channel = signalling_to(connector, peer);
  struct frame frames[MOST_AT_ONCE];
  struct im_pair pairs[MOST_AT_ONCE];
  if (!channel) return ENOTCONN;
  if (!count || count > MOST_AT_ONCE) return EINVAL;
  const struct im_opening *terms = &channel->connection->what;
  for (uint32_t i = 0; i < count; i++) {
    uint32_t call = ++connector->calls;
    uint16_t from = (uint16_t)(terms->own_first + call % terms->own_count), to = next_to(channel);
    frames[i] = (struct frame){.kind = FILL, .call = call, .from = from, .to = to};
    pairs[i] = pair_of(terms, call, from, to);
  }
  struct im_opening what = opening_over(terms, IM_POOL_OUT);
  what.id = id;
  what.low = low;
  return say(channel, frames, count) ? fill_begin(connector, &what, pairs, count) : ENOTCONN;
}

int connector_call(struct im_connector *connector, uint32_t id, uint32_t peer, uint32_t count, uint32_t low) {
  pthread_mutex_lock(&connector->lock);
  int error = connector->stopping ? ESHUTDOWN : call_many(connector, id, peer, count, low);
  pthread_mutex_unlock(&connector->lock);
  return error;
}

void signalling_answered(struct im_connector *connector, struct im_connection *connection) {
  if (!connection->call) return;
  free(connection->call);
  connection->call = NULL;
  struct im_signalling *channel = signalling_to(connector, connection->what.peer);
  if (!channel) return;
  channel->distance = distance_of(connection->fd);
  if (connector_now() - channel->missed < MISSED_PAUSE) return;
  channel->missed = connector_now();
  connector->tell(connector->context, IM_EVENT_MISSED, connection->what.peer, 0);
}

void signalling_give_back(struct im_connection *connection) {
  struct im_call *asked = connection->call;
  if (!asked) return;
  connection->call = NULL;
  if (connection->tell_by) shim_not_yet(connection->what.reply_to);
  asked->requester.late(asked->requester.context, &asked->request, connection->what.reply_to);
  free(asked);
}

void signalling_unheard(struct im_connector *connector, uint32_t peer) {
  const struct im_signalling *channel = signalling_to(connector, peer);
  if (channel) shutdown(channel->connection->fd, SHUT_RDWR);
}

void signalling_withdraw(struct im_connector *connector, const void *context) {
  for (struct im_connection *connection = connector->all, *after; connection; connection = after) {
    after = connection->next;
    if (!connection->call || connection->call->requester.context != context) continue;
    free(connection->call);
    connection->call = NULL;
    close(connection->what.reply_to);
    connector_close(connector, connection);
  }
}

/* ---- the side that is called ---- */

static bool is_ours(const struct im_opening *terms, uint16_t port) {
  return port >= terms->own_first && port - terms->own_first < terms->own_count;
}

static void say_busy(struct im_signalling *channel, const struct frame *call) {
  struct frame busy = {.kind = BUSY, .call = call->call};
  say(channel, &busy, 1);
}

static void called(struct im_connector *connector, struct im_signalling *channel, const struct frame *frame) {
  const struct im_opening *terms = &channel->connection->what;
  struct im_opening what = opening_over(terms, IM_DELIVER);
  struct im_connection *connection = share_allows(connector, &what, 1) ? calloc(1, sizeof *connection) : NULL;
  if (!connection) return say_busy(channel, frame);
  connection->signal = -1;
  connection->what = what;
  connection->what.local_port = frame->to;
  connection->what.remote_port = frame->from;
  connection->what.port = frame->port;
  connection->what.source_port = frame->source_port;
  int error = open_connect(connection);
  if (connection->fd < 0 || error == EADDRNOTAVAIL) {
    if (connection->fd >= 0) close(connection->fd);
    free(connection);
    return say_busy(channel, frame);
  }
  connector_add(connector, connection);
  open_start(connector, connection, error);
}

/* What does not become one is missed by nobody. */
static void begin_called(struct im_connector *connector, struct im_signalling *channel) {
  struct im_opening what = opening_over(&channel->connection->what, IM_POOL_IN);
  if (channel->called_count) (void)fill_begin(connector, &what, channel->called, channel->called_count);
  channel->called_count = 0;
}

static void busy(struct im_connector *connector, uint32_t peer, uint32_t call) {
  for (struct im_connection *connection = connector->all; connection; connection = connection->next)
    if (connection->call && connection->call->call == call && connection->what.peer == peer)
      return connector_fail(connector, connection, EADDRINUSE);
}

/* False: this is not from the other side, or it does not know what it says. */
static bool hear(struct im_connector *connector, struct im_signalling *channel) {
  const struct im_opening *terms = &channel->connection->what;
  const struct frame *frame = &channel->part;
  uint8_t tag[sizeof frame->tag];
  make_tag(terms->expect, channel->heard++, frame, tag);
  if (!secret_is(frame->tag, tag, sizeof tag)) return false;
  if (terms->purpose == IM_SIGNALLING_OUT && frame->kind == BUSY)
    return busy(connector, terms->peer, frame->call), true;
  if (terms->purpose != IM_SIGNALLING_IN || !is_ours(terms, frame->to)) return false;
  if (frame->kind == CALL) return called(connector, channel, frame), true;
  if (frame->kind != FILL) return false;
  channel->called[channel->called_count++] = pair_of(terms, frame->call, frame->to, frame->from);
  if (channel->called_count == MOST_AT_ONCE) begin_called(connector, channel);
  return true;
}

void signalling_event(struct im_connector *connector, struct im_connection *connection) {
  struct im_signalling *channel = connector->channels;
  while (channel && channel->connection != connection) channel = channel->next;
  while (channel) {
    ssize_t got = recv(connection->fd, (uint8_t *)&channel->part + channel->got, sizeof channel->part - channel->got,
                       MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return begin_called(connector, channel);
    if (got <= 0) break;
    channel->got += (size_t)got;
    if (channel->got < sizeof channel->part) continue;
    channel->got = 0;
    if (!hear(connector, channel)) break;
  }
  connector_close(connector, connection);
}
