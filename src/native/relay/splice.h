/*
 * Two TCP sockets made one connection: what comes from either goes to the other, in the kernel (splice(2)). No thread,
 * no event loop: see pairs.c.
 */
#ifndef IMAGINARY_NATIVE_SPLICE_H
#define IMAGINARY_NATIVE_SPLICE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Pipes that hold nothing. A direction has one only while it holds bytes: an idle connection needs no pipe, and the
 * kernel's allowance of pipe memory for a user (pipe-user-pages-soft) is spent on those that have something to hold.
 */
#define IM_SPARE_PIPES 64
/* What is not more goes through memory, which costs less than a pipe. One that is empty holds so much for certain. */
#define IM_FEW PIPE_BUF
struct im_pipes {
  int spare[IM_SPARE_PIPES][2];
  size_t count;
  unsigned char *few; /* IM_FEW bytes; NULL: all goes through pipes */
};

void splice_close_pipes(struct im_pipes *pipes);

/* One direction. */
struct im_flow {
  int pipe[2];               /* -1: none */
  size_t held;               /* bytes in the pipe */
  bool eof;                  /* read to its end */
  bool shut;                 /* and that was passed on */
  bool waits, drained, ends; /* see splice_wait */
  bool many;                 /* the last read was no small one */
  uint64_t bytes;
};

/* flows[i] is from fds[i] to the other one. The sockets do not block, and are closed with a reset (SO_LINGER 0). */
struct im_spliced {
  int fds[2];
  struct im_flow flows[2];
};

enum im_progress {
  IM_SPLICE_WAITS,   /* for an event of one of its sockets */
  IM_SPLICE_GOES_ON, /* it has moved its share for now: call again after the others had their turn */
  IM_SPLICE_ENDED,   /* both directions have ended in good order */
  IM_SPLICE_BROKEN,  /* an error of a socket: *error */
};

void splice_init(struct im_spliced *pair, int a, int b);

/*
 * For who gets an event whenever something has come (EPOLLET): nothing is read from either socket before
 * `splice_readable`. `ends`: its end is there, too. Without, each move tries.
 */
void splice_wait(struct im_spliced *pair);
void splice_readable(struct im_spliced *pair, int side, bool ends);

/* Moves what can be moved. */
enum im_progress splice_move(struct im_spliced *pair, struct im_pipes *pipes, int *error);

/* Closes both sockets: with a reset, unless the pair has ended in good order. */
void splice_close(struct im_spliced *pair, struct im_pipes *pipes, bool orderly);

#endif
