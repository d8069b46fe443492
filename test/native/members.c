#define _GNU_SOURCE
#include "members.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void check_failed(const char *what, const char *file, int line) {
  fprintf(stderr, "%s:%d: %s (errno %d)\n", file, line, what, errno);
  exit(1);
}

/* ---- what the connectors tell ---- */

static void tell(void *context, enum im_event event, uint32_t subject, int32_t detail) {
  struct told told = {event, subject, detail};
  CHECK(write(((struct member *)context)->events[1], &told, sizeof told) == sizeof told);
}

struct told next(struct member *member) {
  struct told told;
  struct pollfd wanted = {.fd = member->events[0], .events = POLLIN};
  CHECK(poll(&wanted, 1, 10000) == 1);
  CHECK(read(member->events[0], &told, sizeof told) == sizeof told);
  return told;
}

struct told expect(struct member *member, enum im_event event, uint32_t subject) {
  struct told told = next(member);
  if (told.event != event || told.subject != subject)
    fprintf(stderr, "event %d of %x (%d), not %d of %x\n", told.event, told.subject, told.detail, event, subject);
  CHECK(told.event == event && told.subject == subject);
  return told;
}

bool is_quiet(const struct member *member) {
  struct pollfd wanted = {.fd = member->events[0], .events = POLLIN};
  return poll(&wanted, 1, 0) == 0;
}

void start(struct member *member) {
  CHECK(pipe(member->events) == 0);
  CHECK((member->connector = connector_create(ALIAS_BASE, tell, member)));
}

void end(struct member *member) {
  connector_stop(member->connector);
  connector_release(member->connector);
  close(member->events[0]);
  close(member->events[1]);
}

/* ---- what JavaScript does ---- */

uint32_t last_id;

struct im_opening opening_to(const struct sockaddr_in *to, enum im_purpose purpose, uint32_t peer, const char *says,
                             const char *hears) {
  struct im_opening what = {.purpose = purpose,
                            .peer = peer,
                            .epoch = 7,
                            .remote = ntohl(to->sin_addr.s_addr),
                            .remote_port = ntohs(to->sin_port),
                            .timeout = 5000,
                            .ttl = 60000,
                            .reply_to = -1};
  what.send_size = (uint8_t)strlen(says);
  what.expect_size = (uint8_t)strlen(hears);
  memcpy(what.send, says, strlen(says));
  memcpy(what.expect, hears, strlen(hears));
  return what;
}

void open_both(struct member *a, struct im_opening x, struct member *b, struct im_opening y) {
  x.id = ++last_id;
  y.id = ++last_id;
  CHECK(connector_open(a->connector, &x) == 0 && connector_open(b->connector, &y) == 0);
}

int listen_at(uint32_t ip, int most, struct sockaddr_in *address) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  socklen_t size = sizeof *address;
  *address = connection_address(ip, 0);
  CHECK(bind(fd, (struct sockaddr *)address, sizeof *address) == 0 && listen(fd, most) == 0);
  CHECK(getsockname(fd, (struct sockaddr *)address, &size) == 0);
  return fd;
}

/* ---- what shims and guests do ---- */

static void late(void *context, const struct im_request *request, int reply_to) {
  CHECK(close(reply_to) == 0);
  tell(context, (enum im_event)LATE, request->port, 0);
}

int begin(struct member *member, struct im_request request) {
  const struct im_requester requester = {late, member};
  int ends[2];
  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
  bool early = request.flags & IM_FLAG_READY;
  if (connector_answer(member->connector, &request, ends[1], &requester)) return ends[0];
  CHECK(!(request.flags & IM_FLAG_READY));
  close(ends[1]);
  if (early) return ends[0]; /* with the first reply in it */
  close(ends[0]);
  return -1;
}

int finish(int end, uint16_t *port) {
  int passed = -1;
  struct im_reply reply;
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(int))];
  } control;
  struct iovec part = {&reply, sizeof reply};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  CHECK(recvmsg(end, &message, 0) == sizeof reply && reply.magic == IM_REPLY_MAGIC);
  close(end);
  if (reply.status) return -reply.status;
  CHECK(reply.transport == IM_TRANSPORT_HANDOFF && reply.epoch == 7 && CMSG_FIRSTHDR(&message));
  memcpy(&passed, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof passed);
  *port = reply.real_port;
  return passed;
}

int ask(struct member *member, struct im_request request, uint16_t *port) {
  int end = begin(member, request);
  return end < 0 ? -ENOMSG : finish(end, port);
}

struct im_request connect_request(uint16_t port, uint16_t bound, uint32_t flags) {
  return (struct im_request){
      .op = IM_OP_CONNECT, .flags = IM_FLAG_LISTED | flags, .address = API, .port = port, .real_port = bound};
}

int accept_handoff(struct member *member, int listener, uint16_t *port) {
  struct sockaddr_in from, to;
  socklen_t size = sizeof from;
  int signal = accept(listener, (struct sockaddr *)&from, &size);
  CHECK(signal >= 0 && ntohl(from.sin_addr.s_addr) == (ALIAS_BASE | (WEB & 0xffff)));
  CHECK(getsockname(signal, (struct sockaddr *)&to, &size) == 0);
  struct im_request request = {
      .op = IM_OP_ACCEPT, .address = WEB, .port = ntohs(from.sin_port), .real_port = ntohs(to.sin_port)};
  int fd = ask(member, request, port);
  close(signal);
  return fd;
}

bool is_over(int fd) {
  struct pollfd wanted = {.fd = fd, .events = POLLIN};
  char byte;
  return poll(&wanted, 1, 10000) == 1 && recv(fd, &byte, 1, MSG_DONTWAIT) <= 0;
}

int descriptors(void) {
  int count = 0;
  DIR *folder = opendir("/proc/self/fd");
  while (readdir(folder)) count++;
  closedir(folder);
  return count;
}

void no_more_descriptors(int before) {
  for (int i = 0; i < 2000 && descriptors() > before; i++) poll(NULL, 0, 5);
  CHECK(descriptors() <= before);
}
