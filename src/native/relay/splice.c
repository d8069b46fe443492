#define _GNU_SOURCE
#include "splice.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIPE_BYTES 65536        /* what a new pipe holds */
#define SHARE (16 * PIPE_BYTES) /* of one turn, for each direction */

static bool take_pipe(struct im_pipes *pipes, int ends[2]) {
  if (pipes->count == 0) return pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0;
  pipes->count--;
  ends[0] = pipes->spare[pipes->count][0];
  ends[1] = pipes->spare[pipes->count][1];
  return true;
}

/* An empty one is kept for the next direction that needs one. */
static void leave_pipe(struct im_pipes *pipes, struct im_flow *flow) {
  if (flow->pipe[0] < 0) return;
  if (flow->held == 0 && pipes->count < IM_SPARE_PIPES) {
    pipes->spare[pipes->count][0] = flow->pipe[0];
    pipes->spare[pipes->count][1] = flow->pipe[1];
    pipes->count++;
  } else {
    close(flow->pipe[0]);
    close(flow->pipe[1]);
  }
  flow->pipe[0] = flow->pipe[1] = -1;
}

void splice_close_pipes(struct im_pipes *pipes) {
  while (pipes->count > 0) {
    pipes->count--;
    close(pipes->spare[pipes->count][0]);
    close(pipes->spare[pipes->count][1]);
  }
}

void splice_init(struct im_spliced *pair, int a, int b) {
  *pair = (struct im_spliced){.fds = {a, b}, .flows = {{.pipe = {-1, -1}}, {.pipe = {-1, -1}}}};
}

void splice_wait(struct im_spliced *pair) {
  for (int i = 0; i < 2; i++) pair->flows[i].waits = pair->flows[i].drained = true;
}

void splice_readable(struct im_spliced *pair, int side, bool ends) {
  pair->flows[side].drained = false;
  if (ends) pair->flows[side].ends = true;
}

/* Like splice(2), never waiting. -1 with errno EAGAIN: nothing there, or no room. */
static ssize_t splice_some(int from, int to, size_t most) {
  ssize_t moved;
  do {
    moved = splice(from, NULL, to, NULL, most, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  } while (moved < 0 && errno == EINTR);
  return moved;
}

/* Reads, and sends what is there; what is not taken goes into a pipe. -1 with errno EAGAIN: nothing is there. */
static ssize_t move_few(struct im_flow *flow, int from, int to, struct im_pipes *pipes) {
  ssize_t got = recv(from, pipes->few, IM_FEW, MSG_DONTWAIT);
  if (got <= 0) return got;
  ssize_t put = send(to, pipes->few, (size_t)got, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (put < 0 && errno != EAGAIN) return -1;
  if (put < 0) put = 0;
  flow->bytes += (uint64_t)put;
  if (put == got) return got;
  if (flow->pipe[0] < 0 && !take_pipe(pipes, flow->pipe)) return -1;
  ssize_t held = write(flow->pipe[1], pipes->few + put, (size_t)(got - put));
  if (held != got - put) return errno = ENOBUFS, -1;
  flow->held = (size_t)held;
  return got;
}

/* Like it, and sends nothing. */
static ssize_t hold(struct im_flow *flow, int from, struct im_pipes *pipes) {
  if (flow->pipe[0] < 0 && !take_pipe(pipes, flow->pipe)) return -1;
  /* EAGAIN may also mean that the pipe has no slot left, with fewer bytes in it: then what it holds goes on first. */
  ssize_t got = splice_some(from, flow->pipe[1], PIPE_BYTES - flow->held);
  if (got > 0) flow->held += (size_t)got;
  return got;
}

static ssize_t take(struct im_flow *flow, int from, int to, struct im_pipes *pipes) {
  bool few = pipes->few && !flow->many && flow->held == 0;
  bool empty = flow->held == 0;
  ssize_t got = few ? move_few(flow, from, to, pipes) : hold(flow, from, pipes);
  if (got >= 0) flow->many = got >= IM_FEW;
  if (got == 0) flow->eof = true;
  /* One that has got less than it might have has got all, for now. */
  if (flow->waits && ((got < 0 && empty) || (few && got > 0 && got < IM_FEW && !flow->ends))) flow->drained = true;
  return got;
}

/* `last`: the other direction has ended. Both sockets are closed now, which says so. */
static enum im_progress flow_move(struct im_flow *flow, int from, int to, struct im_pipes *pipes, bool last,
                                  int *error) {
  uint64_t before = flow->bytes;
  for (;;) {
    bool moved = false;
    if (!flow->eof && !flow->drained && flow->held < PIPE_BYTES) {
      ssize_t got = take(flow, from, to, pipes);
      if (got < 0 && errno != EAGAIN) break;
      if (got > 0) moved = true;
    }
    if (flow->held > 0) {
      ssize_t put = splice_some(flow->pipe[0], to, flow->held);
      if (put < 0 && errno != EAGAIN) break;
      if (put > 0) {
        flow->held -= (size_t)put;
        flow->bytes += (uint64_t)put;
        moved = true;
      }
    }
    if (flow->held == 0 && flow->eof && !flow->shut) {
      if (!last && shutdown(to, SHUT_WR) != 0) break;
      flow->shut = true;
    }
    if (!moved || flow->bytes - before >= SHARE) {
      if (flow->held == 0) leave_pipe(pipes, flow);
      return moved ? IM_SPLICE_GOES_ON : flow->shut ? IM_SPLICE_ENDED : IM_SPLICE_WAITS;
    }
  }
  *error = errno;
  return IM_SPLICE_BROKEN;
}

enum im_progress splice_move(struct im_spliced *pair, struct im_pipes *pipes, int *error) {
  struct im_flow *flows = pair->flows;
  enum im_progress there = flow_move(&flows[0], pair->fds[0], pair->fds[1], pipes, flows[1].shut, error);
  if (there == IM_SPLICE_BROKEN) return there;
  enum im_progress back = flow_move(&flows[1], pair->fds[1], pair->fds[0], pipes, flows[0].shut, error);
  if (back == IM_SPLICE_BROKEN) return back;
  if (there == IM_SPLICE_GOES_ON || back == IM_SPLICE_GOES_ON) return IM_SPLICE_GOES_ON;
  return there == IM_SPLICE_ENDED && back == IM_SPLICE_ENDED ? IM_SPLICE_ENDED : IM_SPLICE_WAITS;
}

void splice_close(struct im_spliced *pair, struct im_pipes *pipes, bool orderly) {
  for (int i = 0; i < 2; i++) {
    leave_pipe(pipes, &pair->flows[i]);
    /* What the kernel has not sent yet it sends after the close. */
    struct linger wait = {.l_onoff = orderly ? 0 : 1, .l_linger = 0};
    setsockopt(pair->fds[i], SOL_SOCKET, SO_LINGER, &wait, sizeof wait);
    close(pair->fds[i]);
  }
}
