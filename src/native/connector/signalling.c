#define _GNU_SOURCE
#include "contract/abi/abi.h"
#include "base/secret.h"
#include "internal.h"
#include "siphash.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * A guest that finds nothing in the pool is connected by two SYNs that cross. The two connectors agree on them here, as
 * JavaScript and TLS at both ends would cost more than the round trip. A frame is short, and the SYNs that follow show
 * its content to everybody: it is sent in clear, with a tag that only the two connectors can make.
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
  struct im_connection *connection;
  struct im_timer soon; /* when IM_FLAG_READY is answered: it is not there yet */
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
  int64_t missed;                      /* when IM_EVENT_MISSED was reported last */
  struct im_pair called[MOST_AT_ONCE]; /* for the pool: begun together */
  size_t called_count;
};

#define MISSED_PAUSE (10 * IM_MS) /* it wakes JavaScript, beside a guest that is being connected */
#define TIMEOUT 2000              /* milliseconds: as `PUNCH_LIMIT` in src/runtime/transport/punched/punch.ts */
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

static const struct im_asker caller;

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

static void forget(struct im_connector *connector, struct im_connection *connection) {
  for (struct im_signalling **place = &connector->channels; *place; place = &(*place)->next) {
    struct im_signalling *channel = *place;
    if (channel->connection != connection) continue;
    *place = channel->next;
    free(channel);
    break;
  }
  if (connection->what.purpose != IM_SIGNALLING_OUT) return;
  connector->report(connector->context, IM_EVENT_SIGNALLING_ENDED, connection->what.peer, 0);
  /* Calls over it may never be answered. */
  for (struct im_connection *other = connector->all; other; other = other->next)
    if (other->asker == &caller && other->what.peer == connection->what.peer) connection_until(connector, other, 0);
}

/* ---- the side that calls ---- */

/* The call has been answered, or its guest is gone. */
static void free_call(struct im_connector *connector, struct im_call *call) {
  reactor_clear(&connector->reactor, &call->soon);
  free(call);
}

static void on_answer(struct im_connector *connector, struct im_connection *connection) {
  free_call(connector, connection->asked);
  struct im_signalling *channel = signalling_to(connector, connection->what.peer);
  if (!channel) return;
  channel->distance = distance_of(connection->fd);
  if (clock_now() - channel->missed < MISSED_PAUSE) return;
  channel->missed = clock_now();
  connector->report(connector->context, IM_EVENT_MISSED, connection->what.peer, 0);
}

/* The guest goes another way. Where the other side did not come at all, the channel is not believed any more. */
static void on_call_fail(struct im_connector *connector, struct im_connection *connection, int error) {
  struct im_call *call = connection->asked;
  const struct im_signalling *channel = error == ETIMEDOUT ? signalling_to(connector, connection->what.peer) : NULL;
  if (channel) shutdown(channel->connection->fd, SHUT_RDWR);
  if (call->soon.at) reply_not_yet(connection->what.reply_to);
  call->requester.late(call->requester.context, &call->request, connection->what.reply_to);
  free_call(connector, call);
}

static const struct im_asker caller = {.on_open = on_answer, .on_fail = on_call_fail};

static void on_soon(void *context, void *owner) {
  const struct im_call *call = owner;
  (void)context;
  reply_not_yet(call->connection->what.reply_to);
}

static void on_held(struct im_connector *connector, struct im_connection *connection) {
  opening_start(connector, connection, opening_go(connection));
}

/* Its SYN follows a moment after the call. */
static const struct im_stage held = {.opening = true, .on_time = on_held};

static uint16_t next_to(struct im_signalling *channel) {
  const struct im_opening *terms = &channel->connection->what;
  if (channel->left-- == 0) {
    channel->to++;
    channel->left = (uint16_t)(terms->their_count - 1);
  }
  return (uint16_t)(terms->their_first + channel->to++ % terms->their_count);
}

/* An opening over a signalling channel: all but its ports and its guest. */
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

/* A socket for the call, and the call's frame; `sends`: its SYN comes first. False: not possible, or not sent. */
static bool call_over(struct im_signalling *channel, const struct im_call *call, bool sends) {
  struct im_connection *connection = call->connection;
  struct frame frame = {.kind = CALL,
                        .call = call->call,
                        .from = connection->what.local_port,
                        .to = connection->what.remote_port,
                        .port = call->request.port,
                        .source_port = call->request.real_port ? call->request.real_port : connection->what.local_port};
  /* Ports of ours that are in use are found out before the other side gets the frame. */
  return opening_prepare(connection) == 0 && (!sends || opening_go(connection) == 0) && say(channel, &frame, 1);
}

bool signalling_call(struct im_connector *connector, const struct im_request *request, int reply_to,
                     const struct im_requester *requester, bool ready) {
  struct im_signalling *channel = signalling_to(connector, request->address);
  if (!channel) return false;
  const struct im_opening *terms = &channel->connection->what;
  struct im_opening what = opening_over(terms, IM_GIVE);
  uint32_t number = ++connector->calls;
  what.local_port = (uint16_t)(terms->own_first + number % terms->own_count);
  what.remote_port = next_to(channel);
  what.source_port = request->real_port;
  what.reply_to = reply_to;
  bool far = channel->distance > connector->close_by;
  struct im_connection *connection = connection_make(&what, &reply_use);
  struct im_call *call = connection ? malloc(sizeof *call) : NULL;
  if (call)
    *call = (struct im_call){.call = number,
                             .connection = connection,
                             .soon = {.on_time = on_soon, .owner = call},
                             .request = *request,
                             .requester = *requester};
  if (!call || !call_over(channel, call, !far)) {
    connection_discard(connection);
    free(call);
    return false;
  }
  connection_add(connector, connection, &caller, call);
  /* Where it is there soon, an answer that it is not yet would only make it later. */
  if (ready && far) reply_not_yet(reply_to);
  if (ready && !far) reactor_set(&connector->reactor, &call->soon, clock_now() + connector->soon * IM_MS);
  if (!far) return (void)opening_start(connector, connection, 0), true;
  connection->stage = &held;
  connection_at(connector, connection, clock_now() + HOLD);
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

int signalling_fill(struct im_connector *connector, uint32_t id, uint32_t peer, uint32_t count, uint32_t low) {
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
  return say(channel, frames, count) ? fill_begin(connector, &what, &pool_out, pairs, count) : ENOTCONN;
}

unsigned signalling_count(const struct im_connector *connector) {
  unsigned count = 0;
  for (const struct im_connection *connection = connector->all; connection; connection = connection->next)
    count += connection->asker == &caller;
  return count;
}

void signalling_withdraw(struct im_connector *connector, const void *context) {
  for (struct im_connection *connection = connector->all, *after; connection; connection = after) {
    after = connection->next;
    if (connection->asker != &caller) continue;
    struct im_call *call = connection->asked;
    if (call->requester.context != context) continue;
    connection->asker = NULL;
    free_call(connector, call);
    close(connection->what.reply_to);
    connection_close(connector, connection);
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
  struct im_opening what = opening_over(&channel->connection->what, IM_DELIVER);
  what.local_port = frame->to;
  what.remote_port = frame->from;
  what.port = frame->port;
  what.source_port = frame->source_port;
  struct im_connection *connection = share_allows(connector, &what, 1) ? connection_make(&what, &deliver_use) : NULL;
  int error = connection ? opening_connect(connection) : ENOMEM;
  if (!connection || connection->fd < 0 || error == EADDRNOTAVAIL) {
    connection_discard(connection);
    return say_busy(channel, frame);
  }
  connection_add(connector, connection, NULL, NULL);
  opening_start(connector, connection, error);
}

/* Failures are not reported. */
static void begin_called(struct im_connector *connector, struct im_signalling *channel) {
  struct im_opening what = opening_over(&channel->connection->what, IM_POOL_IN);
  if (channel->called_count) (void)fill_begin(connector, &what, &pool_in, channel->called, channel->called_count);
  channel->called_count = 0;
}

static void busy(struct im_connector *connector, uint32_t peer, uint32_t number) {
  for (struct im_connection *connection = connector->all; connection; connection = connection->next) {
    const struct im_call *call = connection->asker == &caller ? connection->asked : NULL;
    if (call && call->call == number && connection->what.peer == peer)
      return connection_fail(connector, connection, EADDRINUSE);
  }
}

/* False: the frame is not from the other side, or makes no sense. */
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

static void on_frames(struct im_connector *connector, struct im_connection *connection, uint32_t events) {
  struct im_signalling *channel = connector->channels;
  (void)events;
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
  connection_close(connector, connection);
}

static const struct im_stage signalling = {.idle = true, .on_event = on_frames, .on_forget = forget};

static void on_open(struct im_connector *connector, struct im_connection *connection) {
  struct im_signalling *channel = calloc(1, sizeof *channel);
  opening_keep_alive(connection->fd, true);
  connection->stage = &signalling;
  connection_until(connector, connection, IM_NEVER);
  if (!channel) return connection_close(connector, connection);
  channel->connection = connection;
  channel->to = (uint16_t)(clock_now() / IM_MS);
  channel->distance = distance_of(connection->fd);
  channel->left = connection->what.their_count;
  channel->next = connector->channels;
  connector->channels = channel;
  if (connection->what.purpose == IM_SIGNALLING_IN) end_earlier(channel);
  on_frames(connector, connection, 0);
}

const struct im_use signalling_use = {.on_open = on_open};
