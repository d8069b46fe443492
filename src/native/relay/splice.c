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

/* Like splice(2), never waiting. -1 with errno EAGAIN: nothing there, or no room. */
static ssize_t splice_some(int from, int to, size_t most) {
  ssize_t moved;
  do {
    moved = splice(from, NULL, to, NULL, most, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  } while (moved < 0 && errno == EINTR);
  return moved;
}

static enum im_progress flow_move(struct im_flow *flow, int from, int to, struct im_pipes *pipes, int *error) {
  size_t moved_in_turn = 0;
  for (;;) {
    bool moved = false;
    if (!flow->eof && flow->held < PIPE_BYTES) {
      if (flow->pipe[0] < 0 && !take_pipe(pipes, flow->pipe)) break;
      /*
       * EAGAIN may also mean that the pipe has no slot left, with fewer bytes in it: then what it holds goes on first.
       */
      ssize_t got = splice_some(from, flow->pipe[1], PIPE_BYTES - flow->held);
      if (got < 0 && errno != EAGAIN) break;
      if (got == 0) flow->eof = true;
      if (got > 0) {
        flow->held += (size_t)got;
        moved = true;
      }
    }
    if (flow->held > 0) {
      ssize_t put = splice_some(flow->pipe[0], to, flow->held);
      if (put < 0 && errno != EAGAIN) break;
      if (put > 0) {
        flow->held -= (size_t)put;
        flow->bytes += (uint64_t)put;
        moved_in_turn += (size_t)put;
        moved = true;
      }
    }
    if (flow->held == 0 && flow->eof && !flow->shut) {
      if (shutdown(to, SHUT_WR) != 0) break;
      flow->shut = true;
    }
    if (!moved || moved_in_turn >= SHARE) {
      if (flow->held == 0) leave_pipe(pipes, flow);
      return moved ? IM_SPLICE_GOES_ON : flow->shut ? IM_SPLICE_ENDED : IM_SPLICE_WAITS;
    }
  }
  *error = errno;
  return IM_SPLICE_BROKEN;
}

enum im_progress splice_move(struct im_spliced *pair, struct im_pipes *pipes, int *error) {
  enum im_progress there = flow_move(&pair->flows[0], pair->fds[0], pair->fds[1], pipes, error);
  if (there == IM_SPLICE_BROKEN) return there;
  enum im_progress back = flow_move(&pair->flows[1], pair->fds[1], pair->fds[0], pipes, error);
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
