#define _GNU_SOURCE
#include "base/secret.h"
#include "parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST_FRESH 1024
#define MOST_PROBES 1024
#define PROBE_RATE 256 /* of one address, a second, beyond PROBE_BURST */
#define ACCEPT_SHARE 64
#define ACCEPT_PAUSE 100 /* after the descriptors ran out */

void arrivals_reject(struct relay *relay, struct connection *connection, const char *reason) {
  relay->rejected++;
  relay->last_rejected = (struct relay_event){.kind = RELAY_REJECTED, .address = connection->address, .reason = reason};
  queue_drop(relay, connection);
}

void arrivals_tell(struct relay *relay, int64_t now) {
  if (relay->rejected == 0 || now - relay->rejected_told < REJECTED_PAUSE) return;
  relay->last_rejected.count = relay->rejected;
  relay->rejected = 0;
  relay->rejected_told = now;
  relay_tell(relay, &relay->last_rejected);
}

static bool may_probe(struct relay *relay, uint32_t address, int64_t now) {
  struct bucket *bucket = &relay->buckets[(address * 2654435761u) >> 22];
  bucket->tokens += (double)(now - bucket->last) * PROBE_RATE / 1000;
  bucket->last = now;
  if (bucket->tokens > PROBE_BURST) bucket->tokens = PROBE_BURST;
  if (bucket->tokens < 1) return false;
  bucket->tokens -= 1;
  return true;
}

static void answer_probe(struct relay *relay, struct connection *connection, int64_t now) {
  if (!may_probe(relay, connection->address, now)) {
    arrivals_reject(relay, connection, "too many probes");
    return;
  }
  unsigned char answer[6];
  uint32_t address = htonl(connection->address);
  uint16_t port = htons(connection->port);
  memcpy(answer, &address, sizeof address);
  memcpy(answer + sizeof address, &port, sizeof port);
  if (send(connection->fd, answer, sizeof answer, MSG_NOSIGNAL | MSG_DONTWAIT) != sizeof answer) {
    queue_drop(relay, connection);
    return;
  }
  queue_remove(&relay->fresh, connection);
  if (relay->probes.count >= MOST_PROBES) queue_drop(relay, relay->probes.first);
  connection->state = PROBED;
  queue_add(&relay->probes, connection, now + relay->options.probe_limit);
}

void arrivals_leave(struct relay *relay, struct connection *connection) {
  struct expectation *expectation = connection->expectation;
  tokens_remove(&relay->tokens, expectation);
  struct relay_event event = {.kind = RELAY_UNUSED, .id = expectation->id, .arrived = 1};
  free(expectation);
  queue_drop(relay, connection);
  relay_tell(relay, &event);
}

static void use_token(struct relay *relay, struct connection *connection) {
  const unsigned char *bytes = connection->header + WORD;
  struct expectation *expectation = token_use(&relay->tokens, bytes);
  if (!expectation) {
    arrivals_reject(relay, connection, "a token that is not expected");
    return;
  }
  queue_remove(&relay->fresh, connection);
  connection->state = WAITING;
  connection->expectation = expectation;
  struct connection *other = expectation->arrived;
  if (!other) {
    expectation->arrived = connection;
    return;
  }
  bool second = secret_is(expectation->tokens[1].bytes, bytes, TOKEN_BYTES);
  struct connection *sides[2] = {second ? other : connection, second ? connection : other};
  pairs_join(relay, expectation, sides);
}

/* Reads no byte behind the header: that is for the other side. */
void arrivals_read(struct relay *relay, struct connection *connection, int64_t now) {
  for (;;) {
    size_t wanted = connection->got < WORD ? WORD : sizeof connection->header;
    ssize_t got = recv(connection->fd, connection->header + connection->got, wanted - connection->got, MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) { /* one that comes and goes (a port scan, a health check) is not worth an event */
      if (connection->got > 0)
        arrivals_reject(relay, connection, "left without saying what it wants");
      else
        queue_drop(relay, connection);
      return;
    }
    connection->got += (size_t)got;
    if (connection->got == WORD && memcmp(connection->header, "IMP1", WORD) == 0) {
      answer_probe(relay, connection, now);
      return;
    }
    if (connection->got == sizeof connection->header) {
      use_token(relay, connection);
      return;
    }
    if (connection->got >= WORD && memcmp(connection->header, "IMR1", WORD) != 0) {
      arrivals_reject(relay, connection, "begins with something else than IMP1 or IMR1");
      return;
    }
  }
}

static void accept_one(struct relay *relay, int fd, const struct sockaddr_in *from, int64_t now) {
  struct connection *connection = calloc(1, sizeof *connection);
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = connection};
  if (!connection || epoll_ctl(relay->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
    close(fd);
    free(connection);
    return;
  }
  connection->fd = fd;
  connection->address = ntohl(from->sin_addr.s_addr);
  connection->port = ntohs(from->sin_port);
  /* Whoever means it says what it wants at once: a flood of others costs them their time, not the rest their place. */
  if (relay->fresh.count >= MOST_FRESH)
    arrivals_reject(relay, relay->fresh.first, "too many that have not said what they want");
  queue_add(&relay->fresh, connection, now + relay->options.header_limit);
  arrivals_read(relay, connection, now);
}

void arrivals_listen(struct relay *relay, bool again) {
  struct epoll_event event = {.events = again ? EPOLLIN : 0, .data.ptr = &relay->listener};
  epoll_ctl(relay->epoll, EPOLL_CTL_MOD, relay->listener, &event);
}

void arrivals_accept(struct relay *relay, int64_t now) {
  for (int i = 0; i < ACCEPT_SHARE; i++) {
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    int fd = accept4(relay->listener, (struct sockaddr *)&from, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
      accept_one(relay, fd, &from, now);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      relay->accept_again = now + ACCEPT_PAUSE;
      arrivals_listen(relay, false);
      return;
    } else if (errno == EAGAIN) {
      return;
    }
  }
}
