#include "request.h"

#include "alias.h"
#include "complain.h"
#include "libc_files.h"
#include "paths.h"
#include "room.h"
#include "sockets.h"
#include "table.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

/* As the kernel has it. */
#define MOST_ERRNO 4095

#define CONFIRM_MS 5000

struct im_request request_connect(int fd, const struct im_addr *to, uint64_t epoch, uint32_t flags) {
  uint64_t cookie = sockets_cookie(fd);
  return (struct im_request){.op = IM_OP_CONNECT,
                             .flags = flags,
                             .cookie = cookie,
                             .address = to->ip,
                             .port = to->port,
                             .real_port = sockets_bound_port(cookie),
                             .epoch = epoch};
}

/* The socket's path, by way of a descriptor of its folder when it is too long for a socket address. */
static bool supervisor_address(struct sockaddr_un *to, int *folder) {
  const char *directory = paths_directory();
  *to = (struct sockaddr_un){.sun_family = AF_UNIX};
  *folder = -1;
  if (strlen(directory) <= 90) {
    snprintf(to->sun_path, sizeof to->sun_path, "%.90s/" IM_SHIM_SOCKET, directory);
    return true;
  }
  *folder = libc_open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  if (*folder < 0) return false;
  snprintf(to->sun_path, sizeof to->sun_path, "/proc/self/fd/%d/" IM_SHIM_SOCKET, *folder);
  return true;
}

int request_line(void) {
  struct sockaddr_un to;
  int folder, line = -1;
  if (!supervisor_address(&to, &folder)) return -1;
  line = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (line >= 0 && libc_connect(line, (struct sockaddr *)&to, sizeof to) != 0) {
    libc_close(line);
    line = -1;
  }
  if (folder >= 0) libc_close(folder);
  return line;
}

static int line_with_room(void) {
  int line = request_line();
  if (line >= 0 || errno != EMFILE) return line;
  room_open();
  line = request_line();
  room_close();
  return line;
}

int request_send(int line, const struct im_request *request, int pass, bool wait) {
  return request_send_with(line, request, 0, 0, pass, wait);
}

int request_send_with(int line, const struct im_request *request, const struct iovec *parts, size_t count, int pass,
                      bool wait) {
  struct im_request message = *request;
  message.magic = IM_REQUEST_MAGIC;
  message.version = IM_VERSION;
  message.pid = (uint32_t)getpid();
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct iovec text[1 + IM_REQUEST_PARTS] = {{&message, sizeof message}};
  if (count > IM_REQUEST_PARTS) return -EMSGSIZE;
  if (count) memcpy(text + 1, parts, count * sizeof *parts);
  struct msghdr all = {.msg_iov = text};
  all.msg_iovlen = 1 + (unsigned)count;
  if (pass >= 0) {
    control.header = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof pass), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.header), &pass, sizeof pass);
    all.msg_control = &control;
    all.msg_controllen = sizeof control.space;
  }
  int fd = line >= 0 ? line : line_with_room(), result = 0;
  if (fd < 0) return -errno;
  while (libc_sendmsg(fd, &all, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT)) < 0 && (result = -errno) == -EINTR)
    result = 0;
  if (line < 0) libc_close(fd);
  return result;
}

void request_tell(const struct im_request *request) {
  IM_KEEP_ERRNO;
  (void)request_send(-1, request, -1, false);
}

int request_pair(int ends[2]) { return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0 ? 0 : -errno; }

/* The descriptor on which the reply will come, or a negative errno: there is no supervisor, or no descriptor left. */
static int ask(const struct im_request *request) {
  int ends[2], result = request_pair(ends);
  if (result == -EMFILE) {
    room_open();
    result = request_pair(ends);
    room_close();
  }
  if (result != 0) return result;
  result = request_send(-1, request, ends[1], true);
  libc_close(ends[1]);
  if (result == 0) return ends[0];
  libc_close(ends[0]);
  return result;
}

static int receive(int fd, struct im_reply *reply, int *passed, int flags) {
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(int))];
  } control;
  struct iovec part = {reply, sizeof *reply};
  struct msghdr message = {.msg_iov = &part, .msg_control = control.space};
  message.msg_iovlen = 1;
  message.msg_controllen = sizeof control.space;
  ssize_t size = libc_recvmsg(fd, &message,
                              flags | MSG_CMSG_CLOEXEC | MSG_TRUNC); /* the datagram's size, also where it is larger */
  if (size < 0) return errno == EINTR || errno == EAGAIN ? -errno : -EPIPE;
  struct cmsghdr *first = CMSG_FIRSTHDR(&message);
  int came = -1;
  if (first && first->cmsg_level == SOL_SOCKET && first->cmsg_type == SCM_RIGHTS &&
      first->cmsg_len == CMSG_LEN(sizeof came))
    memcpy(&came, CMSG_DATA(first), sizeof came);
  bool good = size == sizeof *reply && reply->magic == IM_REPLY_MAGIC && reply->status >= 0 &&
              reply->status <= MOST_ERRNO;
  bool expected = good && !reply->status && reply->transport == IM_TRANSPORT_HANDOFF;
  if (expected && came < 0 && message.msg_flags & MSG_CTRUNC) return -EMFILE;
  if (expected && (came < 0 || !passed)) good = false; /* nothing came, or no room for it */
  if (came >= 0 && (!expected || !passed)) {
    libc_close(came);
    came = -1;
  }
  if (passed) *passed = came;
  return good ? 0 : -EPIPE;
}

int request_wait(int fd, struct im_reply *reply, int *passed, long milliseconds) {
  if (milliseconds == IM_FOREVER) return receive(fd, reply, passed, 0);
  struct pollfd wanted = {.fd = fd, .events = POLLIN};
  int ready = poll(&wanted, 1, milliseconds > INT_MAX ? INT_MAX : (int)milliseconds);
  if (ready == 0) return -ETIMEDOUT;
  return ready < 0 ? -errno : receive(fd, reply, passed, MSG_DONTWAIT);
}

int request_take(int fd, struct im_reply *reply, int *passed) { return receive(fd, reply, passed, MSG_DONTWAIT); }

void request_lost(void) {
  static bool said;
  complain_once(&said, "imaginary: this host's supervisor does not answer; other hosts are unreachable\n");
}

void request_confirm(const struct im_request *request) {
  struct im_reply answer;
  int reply = ask(request);
  if (reply < 0 || request_wait(reply, &answer, 0, CONFIRM_MS) == -EPIPE) request_lost();
  if (reply >= 0) libc_close(reply);
}

void request_listen(uint64_t cookie, const struct im_addr *guest, const struct im_addr *real, uint32_t scope) {
  struct im_request request = {.op = IM_OP_LISTEN,
                               .cookie = cookie,
                               .address = alias_is_extra(guest->ip) ? guest->ip : table_cluster()->self,
                               .port = guest->port,
                               .real_port = real->port,
                               .real = real->ip,
                               .scope = scope};
  request_confirm(&request);
}

int request_call(const struct im_request *request, bool wait, long milliseconds, struct im_reply *answer, int *passed,
                 int *reply) {
  int ends[2] = {-1, -1}, line = request_line(), result = line < 0 ? -errno : request_pair(ends);
  if (result == 0) {
    result = request_send(line, request, ends[1], wait);
    libc_close(ends[1]); /* so that its end is seen */
  }
  if (result == 0) result = request_wait(ends[0], answer, passed, milliseconds);
  IM_KEEP_ERRNO;
  if (line >= 0) libc_close(line);
  *reply = ends[0];
  return result;
}
