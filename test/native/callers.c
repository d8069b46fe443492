/*
 * Clients of an ingress, many at once, each of which stays, leaves or is reset at any moment, while each decision is
 * made about them: refused, connected, admitted, heard, taken, withdrawn. Prints how many of each; sanitizers find the
 * rest.
 */
#define _GNU_SOURCE
#include "relay/relay.h"
#include "tcp.h"

#include <stdio.h>
#include <string.h>

#define CLIENTS 1500
#define BATCH 50
#define WITHDRAWN 0x80000000u

static struct im_relay *relay;
static uint16_t data_port, echo_port;
static int events[2];
static unsigned served, counts[5], withdrawn;

/* Sends what comes first back, and ends. */
static void answer(int fd) {
  char bytes[64];
  ssize_t got = readable(fd) ? recv(fd, bytes, sizeof bytes, 0) : 0;
  if (got > 0) (void)!send(fd, bytes, (size_t)got, MSG_NOSIGNAL);
  close(fd);
}

static void *answer_one(void *fd) {
  answer((int)(long)fd);
  return NULL;
}

static void *guests(void *listener) {
  for (int fd; (fd = accept((int)(long)listener, NULL, NULL)) >= 0;) start(answer_one, (void *)(long)fd);
  return NULL;
}

/* The side that has the other token. */
static void *come(void *argument) {
  unsigned char *token = argument, joined;
  int fd = connect_to(data_port);
  if (fd >= 0 && send(fd, "IMR1", 4, MSG_NOSIGNAL) == 4 && send(fd, token, IM_TOKEN_SIZE, MSG_NOSIGNAL) > 0 &&
      readable(fd) && recv(fd, &joined, 1, 0) == 1)
    answer(fd);
  else if (fd >= 0)
    close(fd);
  free(token);
  return NULL;
}

static void on_event(void *context, const struct im_relay_event *event) {
  (void)context;
  if (write(events[1], event, sizeof *event) != sizeof *event) exit(3);
}

static void random_token(unsigned char *token) {
  for (int i = 0; i < IM_TOKEN_SIZE; i++) token[i] = (unsigned char)rand();
}

static int connect_caller(uint32_t caller, uint32_t id, uint16_t port) {
  static const struct im_preface none = {.size = 0};
  struct im_destination to = {caller, id, INADDR_LOOPBACK, INADDR_LOOPBACK, port};
  return relay_connect(relay, &to, &none);
}

static void decide(uint32_t caller, uint32_t which) {
  static const struct im_preface none = {.size = 0};
  unsigned char own[IM_TOKEN_SIZE], *other;
  counts[which]++;
  switch (which) {
  case 0: relay_refuse(relay, caller); break;
  case 1: connect_caller(caller, caller, echo_port); break;
  case 2:
    other = malloc(IM_TOKEN_SIZE);
    random_token(own);
    random_token(other);
    if (relay_admit(relay, caller, own, other, caller, &none))
      start(come, other);
    else
      free(other);
    break;
  case 3: relay_hear(relay, caller); break;
  default: {
    int fd = relay_take(relay, caller);
    if (fd >= 0) close(fd);
  }
  }
}

static void *policy(void *unused) {
  struct im_relay_event event;
  (void)unused;
  for (unsigned seen = 0; read(events[0], &event, sizeof event) == sizeof event;) {
    if (event.kind == IM_RELAY_CALLER) decide(event.id, seen++ % 5);
    if (event.kind == IM_RELAY_CALLER_HELLO) relay_refuse(relay, event.id);
    if (event.kind == IM_RELAY_UNUSED && event.id >= WITHDRAWN) withdrawn++;
    free(event.hello);
  }
  return NULL;
}

/* Every third stays for its answer, every third leaves, every third resets. */
static void batch(uint16_t port) {
  int fds[BATCH];
  struct linger now = {.l_onoff = 1, .l_linger = 0};
  for (int i = 0; i < BATCH; i++) {
    fds[i] = connect_to(port);
    if (i % 3 != 1) (void)!send(fds[i], "x", 1, MSG_NOSIGNAL);
    if (i % 3 == 2) setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &now, sizeof now);
    if (i % 3 != 0) close(fds[i]);
  }
  for (int i = 0; i < BATCH; i += 3) {
    char byte;
    if (readable(fds[i]) && recv(fds[i], &byte, 1, 0) == 1 && byte == 'x') served++;
    close(fds[i]);
  }
}

/* Callers that this program speaks for: every other one leaves at once, the last one does not. Each answer is its own.
 */
static unsigned speak(void) {
  unsigned answered = 0;
  for (int i = 0; i < BATCH; i++) {
    uint32_t caller;
    int fd;
    char byte = 'x';
    if (relay_adopt(relay, INADDR_LOOPBACK, 4711, &caller, &fd) != 0) continue;
    if (connect_caller(caller, caller, echo_port) != 0) exit(3);
    if (i % 2 == 1) (void)!send(fd, &byte, 1, MSG_NOSIGNAL);
    if (i % 2 == 1 && readable(fd) && recv(fd, &byte, 1, 0) == 1 && byte == 'x') answered++;
    close(fd);
  }
  return answered;
}

/*
 * Callers whose other side is withdrawn, one that was to come and one that was being connected to: each is reported,
 * and waits for the next decision, which is answered. The last one is being connected still when the relay is closed.
 */
static unsigned withdraw(uint16_t silent_port) {
  static const struct im_preface none = {.size = 0};
  unsigned char a[IM_TOKEN_SIZE], b[IM_TOKEN_SIZE];
  unsigned answered = 0;
  for (uint32_t i = 0; i <= BATCH; i++) {
    uint32_t caller, id = WITHDRAWN + i;
    int fd;
    char byte = 'x';
    if (relay_adopt(relay, INADDR_LOOPBACK, 4711, &caller, &fd) != 0) exit(3);
    random_token(a);
    random_token(b);
    if (i % 2 ? !relay_admit(relay, caller, a, b, id, &none) : connect_caller(caller, id, silent_port) != 0) exit(4);
    if (i == BATCH) break;
    if (!relay_withdraw(relay, id) || relay_withdraw(relay, id)) exit(5);
    if (connect_caller(caller, caller, echo_port) != 0) exit(6);
    (void)!send(fd, &byte, 1, MSG_NOSIGNAL);
    if (readable(fd) && recv(fd, &byte, 1, 0) == 1 && byte == 'x') answered++;
    close(fd);
  }
  return answered;
}

int main(void) {
  struct im_relay_options options = {.address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)},
                                     .most_pairs = 1024,
                                     .header_limit = 500,
                                     .pair_limit = 500,
                                     .probe_limit = 500,
                                     .on_event = on_event};
  const char *syscall;
  uint16_t port, silent_port;
  pthread_t policing;
  if (pipe(events) != 0 || relay_open(&options, &relay, &data_port, &syscall) != 0) return 3;
  start(guests, (void *)(long)listener_at(&echo_port, 512));
  if (pthread_create(&policing, NULL, policy, NULL) != 0) return 3;
  if (relay_accept(relay, listener_at(&port, 512), 0, NULL) != 0) return 3;
  for (int i = 0; i < CLIENTS / BATCH; i++) batch(port);
  unsigned answered = speak();
  /* Its queue is full with one connection that is never accepted: the kernel drops what comes next. */
  listener_at(&silent_port, 0);
  connect_to(silent_port);
  unsigned answered_later = withdraw(silent_port);
  relay_close(relay);
  close(events[1]);
  pthread_join(policing, NULL);
  printf("{\"served\":%u,\"refused\":%u,\"connected\":%u,\"admitted\":%u,\"heard\":%u,\"taken\":%u,\"answered\":%u,"
         "\"withdrawn\":%u,\"answeredLater\":%u}\n",
         served, counts[0], counts[1], counts[2], counts[3], counts[4], answered, withdrawn, answered_later);
  return 0;
}
