/*
 * openShimSocket, reply, closeDescriptor.
 *
 * One reactor per socket. Its thread hands each datagram to the JavaScript thread through a thread-safe function.
 * Backlog: when JavaScript falls behind by MAX_PENDING datagrams the thread stops reading, so that the kernel's own
 * queue blocks the senders. The thread is always joined before what it uses is freed. What a connector can answer never
 * gets to JavaScript.
 */
#define _GNU_SOURCE
#include "base/reactor.h"
#include "base/rights.h"
#include "connector/connector.h"
#include "contract/abi/abi.h"
#include "object.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_MESSAGE 66048 /* a request with the largest UDP datagram behind it */
#define MAX_DESCRIPTORS IM_RIGHTS_MOST
#define MAX_PENDING 1024

struct message {
  size_t length;
  int count;
  int descriptors[MAX_DESCRIPTORS];
  unsigned char bytes[];
};

struct shim_socket {
  struct im_object object;
  int fd;
  struct im_reactor reactor;
  struct im_source readable;
  bool full; /* not watched: JavaScript has to catch up */
  atomic_int pending;
  uid_t uid;
  dev_t device;
  ino_t inode;
  struct im_connector *connector; /* NULL: none */
  char path[IM_PATH_MAX];
  unsigned char buffer[MAX_MESSAGE];
};

static void close_all(const int *descriptors, int count) {
  for (int i = 0; i < count; i++) close(descriptors[i]);
}

static void free_message(struct message *message) {
  close_all(message->descriptors, message->count);
  free(message);
}

/* Takes descriptors and the sender's uid out of the ancillary data. */
static bool read_control(struct msghdr *header, int *descriptors, int *count, uid_t *uid) {
  bool known = false;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
    if (c->cmsg_level != SOL_SOCKET) continue;
    if (c->cmsg_type == SCM_CREDENTIALS) {
      struct ucred credentials;
      memcpy(&credentials, CMSG_DATA(c), sizeof credentials);
      *uid = credentials.uid;
      known = true;
    } else if (c->cmsg_type == SCM_RIGHTS) {
      int received = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
      for (int i = 0; i < received; i++) {
        int fd;
        memcpy(&fd, CMSG_DATA(c) + (size_t)i * sizeof fd, sizeof fd);
        if (*count < MAX_DESCRIPTORS) {
          descriptors[(*count)++] = fd;
        } else {
          close(fd);
        }
      }
    }
  }
  return known;
}

/* Reads one datagram. NULL: nothing there, or it was dropped. */
static struct message *receive(struct shim_socket *socket) {
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int) * MAX_DESCRIPTORS)];
  } control;
  struct iovec part = {.iov_base = socket->buffer, .iov_len = MAX_MESSAGE};
  struct msghdr header = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  ssize_t length = recvmsg(socket->fd, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (length < 0) return NULL;
  int descriptors[MAX_DESCRIPTORS], count = 0;
  uid_t uid = (uid_t)-1;
  bool known = read_control(&header, descriptors, &count, &uid);
  bool whole = (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
  struct message *message = known && whole && uid == socket->uid ? malloc(sizeof *message + (size_t)length) : NULL;
  if (!message) {
    close_all(descriptors, count);
    return NULL;
  }
  message->length = (size_t)length;
  message->count = count;
  memcpy(message->descriptors, descriptors, sizeof(int) * (size_t)count);
  memcpy(message->bytes, socket->buffer, (size_t)length);
  return message;
}

static void deliver(struct shim_socket *socket, struct message *message) {
  atomic_fetch_add(&socket->pending, 1);
  if (napi_call_threadsafe_function(socket->object.deliver, message, napi_tsfn_nonblocking) == napi_ok) return;
  atomic_fetch_sub(&socket->pending, 1);
  free_message(message);
}

/* The connector could not answer it in the end. */
static void late(void *context, const struct im_request *request, int reply_to) {
  struct message *message = malloc(sizeof *message + sizeof *request);
  if (!message) {
    close(reply_to);
    return;
  }
  *message = (struct message){.length = sizeof *request, .count = 1, .descriptors = {reply_to}};
  memcpy(message->bytes, request, sizeof *request);
  deliver(context, message);
}

static bool answered(struct shim_socket *socket, struct message *message) {
  struct im_request request;
  const struct im_requester requester = {.late = late, .context = socket};
  if (!socket->connector || message->length != sizeof request || message->count != 1) return false;
  memcpy(&request, message->bytes, sizeof request);
  if (request.magic != IM_REQUEST_MAGIC || request.version != IM_VERSION) return false;
  if (connector_answer(socket->connector, &request, message->descriptors[0], &requester)) return true;
  memcpy(message->bytes, &request, sizeof request);
  return false;
}

static void on_readable(void *context, void *owner, uint32_t events) {
  struct shim_socket *socket = context;
  (void)owner, (void)events;
  struct message *message = receive(socket);
  if (!message) return;
  if (answered(socket, message))
    free(message);
  else
    deliver(socket, message);
}

static bool on_round(void *context) {
  struct shim_socket *socket = context;
  bool full = atomic_load(&socket->pending) >= MAX_PENDING;
  if (full != socket->full) reactor_watch(&socket->reactor, &socket->readable, socket->fd, full ? 0 : EPOLLIN);
  socket->full = full;
  return false;
}

static void on_event(napi_env env, napi_value callback, void *context, void *data) {
  struct shim_socket *socket = context;
  struct message *message = data;
  if (!env) {
    free_message(message);
    return;
  }
  bool was_full = atomic_fetch_sub(&socket->pending, 1) == MAX_PENDING;
  if (!socket->object.open) {
    free_message(message);
    return;
  }
  if (was_full) reactor_wake(&socket->reactor);
  napi_value arguments[2], undefined = util_undefined(env);
  bool ok = napi_create_buffer_copy(env, message->length, message->bytes, NULL, &arguments[0]) == napi_ok &&
            napi_create_array_with_length(env, (size_t)message->count, &arguments[1]) == napi_ok;
  for (int i = 0; ok && i < message->count; i++) {
    napi_value number;
    ok = napi_create_int32(env, message->descriptors[i], &number) == napi_ok &&
         napi_set_element(env, arguments[1], (uint32_t)i, number) == napi_ok;
  }
  if (!ok) {
    free_message(message);
    return;
  }
  free(message); /* the descriptors are the callee's now */
  napi_call_function(env, undefined, callback, 2, arguments, NULL);
}

static void stop(struct im_object *object) {
  struct shim_socket *socket = (struct shim_socket *)object;
  reactor_stop(&socket->reactor);
  reactor_free(&socket->reactor);
  if (socket->connector) {
    connector_withdraw(socket->connector, socket);
    connector_release(socket->connector);
  }
  struct stat now;
  if (lstat(socket->path, &now) == 0 && now.st_dev == socket->device && now.st_ino == socket->inode) {
    unlink(socket->path); /* unless another has taken the place meanwhile */
  }
  close(socket->fd);
}

static napi_value unref_socket(napi_env env, napi_callback_info info);

static const struct im_object_kind kind = {
    .name = "imaginary:shim",
    .usage = "openShimSocket(path, onMessage): onMessage must be a function",
    .tag = {0x5d0c1b7ae2f64903u, 0x9a3be47f10c8d256u},
    .methods = {{"close", object_close}, {"unref", unref_socket}},
    .on_event = on_event,
    .stop = stop,
};

static napi_value unref_socket(napi_env env, napi_callback_info info) {
  struct shim_socket *socket = object_this(env, info, &kind, NULL, 0);
  if (socket) napi_unref_threadsafe_function(env, socket->object.deliver);
  return util_undefined(env);
}

/* bind() to a path, by way of a descriptor of its folder when it is too long for a socket address. */
static int bind_path(int fd, const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  const char *name = strrchr(path, '/');
  size_t length = strlen(path);
  if (length < sizeof address.sun_path) {
    memcpy(address.sun_path, path, length);
    return bind(fd, (struct sockaddr *)&address, sizeof address);
  }
  char folder[IM_PATH_MAX];
  if (!name || strlen(name) > 64) {
    errno = ENAMETOOLONG;
    return -1;
  }
  snprintf(folder, sizeof folder, "%.*s", (int)(name - path), path);
  int at = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (at < 0) return -1;
  snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d%.64s", at, name);
  int result = bind(fd, (struct sockaddr *)&address, sizeof address), error = errno;
  close(at);
  errno = error;
  return result;
}

/* Binds; on failure returns an errno and leaves nothing open. */
static int bind_socket(struct shim_socket *s, const char **syscall) {
  int one = 1, error;
  *syscall = "socket";
  s->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (s->fd < 0) return errno;
  *syscall = "setsockopt";
  if (setsockopt(s->fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof one) != 0) goto failed;
  *syscall = "unlink";
  if (unlink(s->path) != 0 && errno != ENOENT) goto failed;
  /* The mode of the socket's inode becomes the mode of the file: never, not even briefly, open to others. */
  *syscall = "bind";
  if (fchmod(s->fd, 0600) != 0 || bind_path(s->fd, s->path) != 0) goto failed;
  struct stat file;
  if (lstat(s->path, &file) == 0) {
    s->device = file.st_dev;
    s->inode = file.st_ino;
  }
  return 0;
failed:
  error = errno;
  close(s->fd);
  return error;
}

static int start(struct shim_socket *socket, const char **syscall) {
  int error = reactor_start(&socket->reactor, syscall);
  if (error) return error;
  *syscall = "epoll_ctl";
  pthread_mutex_lock(&socket->reactor.lock);
  if (!reactor_watch(&socket->reactor, &socket->readable, socket->fd, EPOLLIN)) error = errno;
  pthread_mutex_unlock(&socket->reactor.lock);
  if (error) reactor_stop(&socket->reactor);
  return error;
}

napi_value socket_open(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  char path[IM_PATH_MAX];
  const char *syscall = "malloc";
  size_t given = 3;
  if (napi_get_cb_info(env, info, &given, arguments, NULL, NULL) != napi_ok || given < 2) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "openShimSocket(path, onMessage, connector?)");
    return NULL;
  }
  if (!util_path(env, arguments[0], path)) return NULL;
  struct shim_socket *socket = calloc(1, sizeof *socket);
  int error = ENOMEM;
  if (socket) {
    memcpy(socket->path, path, strlen(path) + 1);
    socket->uid = geteuid();
    socket->readable.on_event = on_readable;
    error = bind_socket(socket, &syscall);
  }
  if (error) {
    free(socket);
    util_throw_errno(env, error, syscall, path);
    return NULL;
  }
  int fd = socket->fd;
  napi_value object = object_create(env, &socket->object, &kind, arguments[1]);
  if (!object) {
    unlink(path);
    close(fd);
    return NULL;
  }
  socket->connector = given > 2 ? connector_binding_of(env, arguments[2]) : NULL;
  if (socket->connector) connector_hold(socket->connector);
  reactor_init(&socket->reactor, socket, on_round);
  error = start(socket, &syscall);
  if (error) {
    reactor_free(&socket->reactor);
    if (socket->connector) connector_release(socket->connector);
    unlink(path);
    close(fd);
    object_abandon(&socket->object);
    util_throw_errno(env, error, syscall, NULL);
    return NULL;
  }
  object_open(env, &socket->object);
  return object;
}

napi_value socket_reply(napi_env env, napi_callback_info info) {
  napi_value arguments[3], result;
  int fd, descriptors[MAX_DESCRIPTORS];
  uint32_t count = 0;
  napi_typedarray_type type;
  size_t length = 0;
  void *bytes = NULL;
  if (!util_arguments(env, info, arguments, 3, "reply(fd, message, descriptors)")) return NULL;
  if (!util_fd(env, arguments[0], &fd)) return NULL;
  if (napi_get_typedarray_info(env, arguments[1], &type, &length, &bytes, NULL, NULL) != napi_ok ||
      type != napi_uint8_array || napi_get_array_length(env, arguments[2], &count) != napi_ok ||
      count > MAX_DESCRIPTORS) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE",
                          "reply(fd, message: Uint8Array, descriptors: at most 16 numbers)");
    return NULL;
  }
  for (uint32_t i = 0; i < count; i++) {
    napi_value element;
    if (napi_get_element(env, arguments[2], i, &element) != napi_ok) return NULL;
    if (!util_fd(env, element, &descriptors[i])) return NULL;
  }
  bool sent = rights_send(fd, bytes, length, descriptors, count, MSG_DONTWAIT);
  close(fd);
  napi_get_boolean(env, sent, &result);
  return result;
}

napi_value socket_close_descriptor(napi_env env, napi_callback_info info) {
  napi_value argument;
  int fd;
  if (!util_arguments(env, info, &argument, 1, "closeDescriptor(fd)") || !util_fd(env, argument, &fd)) return NULL;
  close(fd);
  return util_undefined(env);
}
