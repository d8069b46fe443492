/*
 * held serve PORT: answers one datagram for every line that it is given, and says what came.
 * held ACTION IP PORT: sends a datagram there, does something to the socket, says so, and, after a line, what it has
 * received.
 */
#include "case.h"

#define BEFORE 0x28 /* TOS */

static void told(const char *what, long result) {
  printf("%s: %s\n", what, result < 0 ? strerror(errno) : "ok");
  fflush(stdout);
}

static void wait_line(void) {
  char byte = 0;
  while (byte != '\n') CHECK(read(0, &byte, 1) == 1);
}

static void set(int fd, int name, int value) { CHECK(setsockopt(fd, IPPROTO_IP, name, &value, sizeof value) == 0); }

static int number_of(struct msghdr *message, int type) {
  int value = -1;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
    if (c->cmsg_type != type) continue;
    value = 0;
    memcpy(&value, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
  }
  return value;
}

static void serve(int port) {
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  CHECK(bind_to(fd, at("0.0.0.0", port)) == 0);
  set(fd, IP_RECVTTL, 1);
  set(fd, IP_RECVTOS, 1);
  for (say("listening");;) {
    struct sockaddr_in from;
    char data[16] = {0}, control[256];
    struct iovec part = {data, sizeof data - 1};
    struct msghdr message = {.msg_name = &from,
                             .msg_namelen = sizeof from,
                             .msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    wait_line();
    wait_for(fd, POLLIN);
    CHECK(recvmsg(fd, &message, 0) >= 0);
    CHECK(sendto(fd, "answer", 6, 0, (struct sockaddr *)&from, sizeof from) == 6);
    printf("%d got %s, ttl %d, tos %d\n", ntohs(from.sin_port), data, number_of(&message, IP_TTL),
           number_of(&message, IP_TOS));
    fflush(stdout);
  }
}

static void send_with_control(int fd, struct sockaddr_in to) {
  union {
    struct cmsghdr align;
    char bytes[2 * CMSG_SPACE(sizeof(int))];
  } control = {.bytes = {0}};
  struct iovec part = {"held", 4};
  struct msghdr message = {.msg_name = &to,
                           .msg_namelen = sizeof to,
                           .msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = control.bytes,
                           .msg_controllen = sizeof control};
  struct cmsghdr *c = CMSG_FIRSTHDR(&message);
  for (int i = 0; i < 2; i++, c = CMSG_NXTHDR(&message, c)) {
    *c = (struct cmsghdr){
        .cmsg_level = IPPROTO_IP, .cmsg_type = i ? IP_TOS : IP_TTL, .cmsg_len = CMSG_LEN(sizeof(int))};
    memcpy(CMSG_DATA(c), &(int){i ? 0x10 : 11}, sizeof(int));
  }
  told("sendmsg", sendmsg(fd, &message, 0));
}

/* The socket from now on. */
static int act(const char *action, int fd, struct sockaddr_in to) {
  struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
  int copy;
  if (!strcmp(action, "exit")) exit(0);
  if (!strcmp(action, "wr")) told("shutdown", shutdown(fd, SHUT_WR));
  if (!strcmp(action, "rd")) told("shutdown", shutdown(fd, SHUT_RD));
  if (!strcmp(action, "rdwr")) told("shutdown", shutdown(fd, SHUT_RDWR));
  if (!strcmp(action, "elsewhere")) told("connect", connect_to(fd, at("127.0.0.1", 9)));
  if (!strcmp(action, "disconnect")) told("connect", connect(fd, &nowhere, sizeof nowhere));
  if (!strcmp(action, "close")) told("close", close(fd));
  if (!strcmp(action, "dup")) {
    copy = dup(fd);
    told("close", close(fd));
    return copy;
  }
  if (!strcmp(action, "options")) {
    set(fd, IP_TTL, 7);
    set(fd, IP_TOS, 0);
    told("broadcast", setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &(int){1}, sizeof(int)));
  }
  if (!strcmp(action, "wr") || !strcmp(action, "rdwr"))
    told("sendto", sendto(fd, "more", 4, MSG_NOSIGNAL, (struct sockaddr *)&to, sizeof to));
  return fd;
}

int main(int argc, char **argv) {
  CHECK(argc >= 3);
  if (!strcmp(argv[1], "serve")) serve(atoi(argv[2]));
  struct sockaddr_in to = at(argv[2], atoi(argv[3]));
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  bool connected = argc > 4;
  char data[16] = {0};
  set(fd, IP_TTL, 33);
  set(fd, IP_TOS, BEFORE);
  if (connected) told("connect", connect_to(fd, to));
  if (!strcmp(argv[1], "control"))
    send_with_control(fd, to);
  else
    told("sendto", sendto(fd, "held", 4, 0, connected ? 0 : (struct sockaddr *)&to, connected ? 0 : sizeof to));
  printf("port %d\n", ntohs(name_of(fd, getsockname).sin_port));
  fflush(stdout);
  fd = act(argv[1], fd, to);
  say("acted");
  wait_line();
  told("recv", recv(fd, data, sizeof data - 1, MSG_DONTWAIT));
  say(data);
  return 0;
}
