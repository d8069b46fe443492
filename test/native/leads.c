/*
 * Clients of an ingress that are led: nobody is asked about them, until they cannot be led. Each part says what it
 * expects; prints how many clients were led, asked about and refused in all. Sanitizers find the rest.
 */
#define _GNU_SOURCE
#include "relay/relay.h"
#include "tcp.h"

#include <stdio.h>
#include <string.h>

#define MANY 300
#define OPEN 4
#define WAITING 20
#define BULK (8u << 20)
#define FROM(last) (0x7f000000u + (last))

static struct im_relay *relay;
static uint16_t port, few_port, echo_port, end_port, silent_port;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned led, callers, answered, refused[IM_REFUSALS];
static uint64_t last_lead;
static _Atomic bool closing;

/* ---- guests ---- */

static void *echo(void *argument) {
  int fd = (int)(long)argument;
  char bytes[16384];
  for (ssize_t got; (got = recv(fd, bytes, sizeof bytes, 0)) > 0;)
    if (send(fd, bytes, (size_t)got, MSG_NOSIGNAL) != got) break;
  close(fd);
  return NULL;
}

/* Answers when its client has ended. */
static void *at_end(void *argument) {
  int fd = (int)(long)argument;
  char bytes[64];
  unsigned char count = 0;
  for (ssize_t got; (got = recv(fd, bytes, sizeof bytes, 0)) > 0;) count = (unsigned char)(count + got);
  (void)!send(fd, &count, 1, MSG_NOSIGNAL);
  close(fd);
  return NULL;
}

static void *echoes(void *listener) {
  for (int fd; (fd = accept((int)(long)listener, NULL, NULL)) >= 0;) start(echo, (void *)(long)fd);
  return NULL;
}

static void *ends(void *listener) {
  for (int fd; (fd = accept((int)(long)listener, NULL, NULL)) >= 0;) start(at_end, (void *)(long)fd);
  return NULL;
}

/* ---- who is asked: it connects each one to the guest that echoes ---- */

static void *ask(void *caller) {
  static const struct im_preface none = {.size = 0};
  uint32_t id = (uint32_t)(long)caller;
  struct im_destination to = {id, id, INADDR_LOOPBACK, INADDR_LOOPBACK, echo_port};
  relay_connect(relay, &to, &none);
  pthread_mutex_lock(&lock);
  answered++;
  pthread_cond_signal(&changed);
  pthread_mutex_unlock(&lock);
  return NULL;
}

static void on_event(void *context, const struct im_relay_event *event) {
  (void)context;
  pthread_mutex_lock(&lock);
  if (event->kind == IM_RELAY_CALLER) callers += !closing;
  if (event->kind == IM_RELAY_CLIENTS_LED) led += event->count, last_lead = event->lead;
  for (int i = 1; event->kind == IM_RELAY_CLIENTS_REFUSED && i < IM_REFUSALS; i++)
    if (strcmp(event->reason, clients_reason((enum im_refusal)i)) == 0) refused[i] += event->count;
  pthread_cond_signal(&changed);
  pthread_mutex_unlock(&lock);
  /* Its thread holds the relay's lock. */
  if (event->kind == IM_RELAY_CALLER && !closing) start(ask, (void *)(long)event->id);
}

static void until(const unsigned *value, unsigned wanted) {
  pthread_mutex_lock(&lock);
  while (*value < wanted) pthread_cond_wait(&changed, &lock);
  CHECK(*value == wanted);
  pthread_mutex_unlock(&lock);
}

/* ---- clients ---- */

static bool serves(int fd) {
  char byte = 'x';
  return fd >= 0 && send(fd, &byte, 1, MSG_NOSIGNAL) == 1 && readable(fd) && recv(fd, &byte, 1, 0) == 1 && byte == 'x';
}

static void is_reset(int fd) {
  char byte;
  CHECK(fd >= 0 && readable(fd) && recv(fd, &byte, 1, 0) < 0);
  close(fd);
}

static void serve_one(uint32_t from, uint16_t at) {
  int fd = connect_from(from, at);
  CHECK(serves(fd));
  close(fd);
}

/* The end of another one has been noticed once this one fits. */
static void room(uint32_t from) {
  for (;;) {
    int fd = connect_from(from, few_port);
    bool served = serves(fd);
    close(fd);
    if (served) return;
  }
}

static void lead(uint16_t to, uint64_t name) { CHECK(relay_lead(relay, 0, INADDR_LOOPBACK, to, name)); }
static void lead_few(uint16_t to) { CHECK(relay_lead(relay, 1, INADDR_LOOPBACK, to, 4)); }

/* Every third one leaves without a word, and every third one resets. */
static void many(void) {
  struct linger now = {.l_onoff = 1, .l_linger = 0};
  lead(echo_port, 1);
  for (int i = 0; i < MANY; i++) {
    int fd = connect_to(port);
    if (i % 3 == 0) CHECK(serves(fd));
    if (i % 3 == 2) setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
  }
  until(&led, MANY);
  CHECK(callers == 0 && last_lead == 1);
}

static void half_closed(void) {
  unsigned char count = 0;
  lead(end_port, 2);
  int fd = connect_to(port);
  CHECK(send(fd, "1234567", 7, MSG_NOSIGNAL) == 7 && shutdown(fd, SHUT_WR) == 0);
  CHECK(readable(fd) && recv(fd, &count, 1, 0) == 1 && count == 7);
  CHECK(readable(fd) && recv(fd, &count, 1, 0) == 0);
  close(fd);
}

static void *write_bulk(void *argument) {
  int fd = (int)(long)argument;
  static unsigned char bytes[7777];
  for (unsigned at = 0, size; at < BULK; at += size) {
    size = at % 3 ? sizeof bytes : 100;
    if (size > BULK - at) size = BULK - at;
    for (unsigned i = 0; i < size; i++) bytes[i] = (unsigned char)((at + i) * 31 >> 3);
    for (unsigned done = 0; done < size;) {
      ssize_t put = send(fd, bytes + done, size - done, MSG_NOSIGNAL);
      if (put <= 0) exit(7);
      done += (unsigned)put;
    }
  }
  shutdown(fd, SHUT_WR);
  return NULL;
}

/* Small ones and large ones, against a reader that is slow at first: each byte comes once, in its place. */
static void bulk(void) {
  unsigned char bytes[3000];
  unsigned at = 0;
  lead(echo_port, 3);
  int fd = connect_to(port);
  start(write_bulk, (void *)(long)fd);
  for (ssize_t got; (got = recv(fd, bytes, at < BULK / 4 ? 100 : sizeof bytes, 0)) > 0; at += (unsigned)got)
    for (unsigned i = 0; i < (unsigned)got; i++) CHECK(bytes[i] == (unsigned char)((at + i) * 31 >> 3));
  CHECK(at == BULK);
  close(fd);
}

/* Half of what a client may have came when it was asked about, and half was led. */
static void limits(void) {
  int fds[OPEN];
  for (int i = 0; i < OPEN; i++) {
    lead_few(i < OPEN / 2 ? 0 : echo_port);
    fds[i] = connect_from(FROM(2), few_port);
    CHECK(serves(fds[i]));
  }
  is_reset(connect_from(FROM(2), few_port));
  lead_few(0);
  is_reset(connect_from(FROM(2), few_port));
  until(&refused[IM_TOO_MANY_OPEN], 2);
  serve_one(FROM(3), few_port);
  close(fds[0]);
  room(FROM(2));
  lead_few(echo_port);
  room(FROM(2));
  for (int i = 1; i < OPEN; i++) close(fds[i]);
  is_reset(connect_from(FROM(9), few_port));
  until(&refused[IM_NOT_LISTED], 1);
}

/* Nobody listens there: the client is asked about, and loses nothing. */
static void refusing(void) {
  uint16_t closed_port;
  close(listener_at(&closed_port, 1));
  unsigned before = callers;
  lead(closed_port, 5);
  serve_one(FROM(4), port);
  until(&callers, before + 1);
}

/* A guest whose queue is full: its clients are asked about when it is withdrawn, or after a while. */
static void silent(void) {
  int fds[WAITING];
  unsigned before = callers;
  listener_at(&silent_port, 0);
  connect_to(silent_port);
  lead(silent_port, 6);
  for (uint32_t i = 0; i < WAITING; i++) fds[i] = connect_from(FROM(16 + i), port);
  lead(0, 0);
  for (int i = 0; i < WAITING; i++) {
    CHECK(serves(fds[i]));
    close(fds[i]);
  }
  until(&callers, before + WAITING);
  lead(silent_port, 7);
  serve_one(FROM(5), port);
  until(&callers, before + WAITING + 1);
}

static void accept_at(uint16_t *at, uint32_t number, const struct im_client_rules *rules) {
  struct im_clients *clients = clients_new(rules);
  CHECK(clients && relay_accept(relay, listener_at(at, 512), number, clients) == 0);
  clients_release(clients);
}

int main(void) {
  struct im_relay_options options = {.address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)},
                                     .most_pairs = 1024,
                                     .header_limit = 500,
                                     .pair_limit = 5000,
                                     .probe_limit = 500,
                                     .on_event = on_event};
  static const struct im_block blocks[] = {{FROM(0), ~7u}, {FROM(16), ~15u}, {FROM(32), ~15u}};
  struct im_client_rules rules = {blocks, 3, MANY, 100000, 10};
  const char *syscall;
  uint16_t data_port;
  CHECK(relay_open(&options, &relay, &data_port, &syscall) == 0);
  start(echoes, (void *)(long)listener_at(&echo_port, 512));
  start(ends, (void *)(long)listener_at(&end_port, 512));
  CHECK(!relay_lead(relay, 0, INADDR_LOOPBACK, echo_port, 0));
  accept_at(&port, 0, &rules);
  rules.most_open = OPEN;
  accept_at(&few_port, 1, &rules);
  many();
  half_closed();
  bulk();
  limits();
  refusing();
  silent();
  until(&answered, callers);
  closing = true;
  /* One is led, and one is being connected, when the relay is closed. */
  lead(echo_port, 8);
  CHECK(serves(connect_from(FROM(6), port)));
  lead(silent_port, 9);
  connect_from(FROM(6), port);
  relay_close(relay);
  printf("{\"asked\":%u,\"unlisted\":%u}\n", callers, refused[IM_NOT_LISTED]);
  return 0;
}
