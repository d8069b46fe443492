/*
 * Two TCP sockets made one connection: what comes from either goes to the other, in the kernel (splice(2)). No thread,
 * no event loop: see pairs.c.
 */
#ifndef IMAGINARY_NATIVE_SPLICE_H
#define IMAGINARY_NATIVE_SPLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Pipes that hold nothing. A direction has one only while it holds bytes: an idle connection needs no pipe, and the
 * kernel's allowance of pipe memory for a user (pipe-user-pages-soft) is spent on those that have something to hold.
 */
#define SPARE_PIPES 64
struct pipes {
  int spare[SPARE_PIPES][2];
  size_t count;
};

void pipes_close(struct pipes *pipes);

/* One direction. */
struct flow {
  int pipe[2]; /* -1: none */
  size_t held; /* bytes in the pipe */
  bool eof;    /* read to its end */
  bool shut;   /* and that was passed on */
  uint64_t bytes;
};

/* flows[i] is from fds[i] to the other one. The sockets do not block, and are closed with a reset (SO_LINGER 0). */
struct pair {
  int fds[2];
  struct flow flows[2];
};

enum progress {
  PAIR_WAITS,   /* for an event of one of its sockets */
  PAIR_GOES_ON, /* it has moved its share for now: call again after the others had their turn */
  PAIR_ENDED,   /* both directions have ended in good order */
  PAIR_BROKEN,  /* an error of a socket: *error */
};

void pair_init(struct pair *pair, int a, int b);

/* Moves what can be moved. */
enum progress pair_move(struct pair *pair, struct pipes *pipes, int *error);

/* Closes both sockets: with a reset, unless the pair has ended in good order. */
void pair_close(struct pair *pair, struct pipes *pipes, bool orderly);

#endif
