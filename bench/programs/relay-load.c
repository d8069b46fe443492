/*
 * relay-load plain PORT TARGET COUNT MEGABYTES   through splice-relay at PORT; what it connects to is here, at TARGET
 * relay-load relay PORT COUNT MEGABYTES          through a data port, with the pairs of tokens on standard input (HEX
 * HEX)
 *
 * COUNT times: makes one connection with two sides, sends MEGABYTES from the one to the other (0: one byte there and
 * one back), ends it. Prints statistics of the times that it took.
 */
#define _GNU_SOURCE
#include "stats.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK (128 * 1024)
static char noise[CHUNK];
static size_t megabytes;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static struct sockaddr_in at(const char *port) {
  return (struct sockaddr_in){
      .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((unsigned short)atoi(port))};
}

static int dial(const struct sockaddr_in *to) {
  int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (connect(fd, (const struct sockaddr *)to, sizeof *to)) fail("connect");
  return fd;
}

static void present(int fd, const char *hex) {
  char header[36] = "IMR1";
  for (int i = 0; i < 32; i++) {
    unsigned byte;
    if (sscanf(hex + 2 * i, "%2x", &byte) != 1) exit(2);
    header[4 + i] = (char)byte;
  }
  if (send(fd, header, sizeof header, 0) != sizeof header) fail("send");
}

static void expect_byte(int fd) {
  char byte;
  if (recv(fd, &byte, 1, 0) != 1) fail("recv");
}

static void *receive(void *data) {
  int fd = *(int *)data;
  static char buffer[CHUNK];
  size_t left = megabytes << 20;
  while (left > 0) {
    ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got <= 0) fail("recv");
    left -= (size_t)got;
  }
  return NULL;
}

static void transfer(int from, int to) {
  if (megabytes == 0) {
    if (send(from, noise, 1, 0) != 1) fail("send");
    expect_byte(to);
    if (send(to, noise, 1, 0) != 1) fail("send");
    expect_byte(from);
    return;
  }
  pthread_t thread;
  pthread_create(&thread, NULL, receive, &to);
  for (size_t left = megabytes << 20; left > 0; left -= CHUNK) {
    for (size_t sent = 0; sent < CHUNK;) {
      ssize_t put = send(from, noise + sent, CHUNK - sent, 0);
      if (put <= 0) fail("send");
      sent += (size_t)put;
    }
  }
  pthread_join(thread, NULL);
}

int main(int argc, char **argv) {
  if (argc < 5) return 2;
  int relayed = strcmp(argv[1], "relay") == 0, listener = -1;
  struct sockaddr_in relay = at(argv[2]);
  size_t count = strtoul(argv[relayed ? 3 : 4], NULL, 10);
  megabytes = strtoul(argv[relayed ? 4 : 5], NULL, 10);
  if (!relayed) {
    struct sockaddr_in target = at(argv[3]);
    int one = 1;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&target, sizeof target) || listen(listener, 512)) fail("listen");
  }
  uint64_t *times = calloc(count, sizeof *times);
  for (size_t i = 0; i < count; i++) {
    char a[65], b[65];
    if (relayed && scanf("%64s %64s", a, b) != 2) return 2;
    uint64_t begin = now_ns();
    int from = dial(&relay), to;
    if (relayed) {
      present(from, a);
      to = dial(&relay);
      present(to, b);
      expect_byte(from);
      expect_byte(to);
    } else {
      int one = 1;
      to = accept(listener, NULL, NULL);
      if (to < 0) fail("accept");
      setsockopt(to, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    transfer(from, to);
    times[i] = now_ns() - begin;
    close(from);
    close(to);
  }
  stats_print(times, count);
  return 0;
}
