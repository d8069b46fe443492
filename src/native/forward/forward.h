/*
 * The program `forward`, a guest of the client that `imaginary forward` is: each connection to one of its listeners
 * becomes a connection to a port of the cluster, and their bytes are each other's, in the kernel (relay/splice.h). The
 * shim is preloaded below it, so its connects are a guest's: they allocate, wait, and are carried as any other.
 *
 *   forward MOST LISTENER:ADDRESS:PORT…
 *
 * MOST: connections at one time. LISTENER: descriptor of a listening TCP socket, ADDRESS: a virtual address. It goes on
 * until its standard input ends, and then resets every connection.
 *
 * Standard output, a socket, has a line for what has become of a connect, `INDEX ERRNO COUNT`: which LISTENER, errno
 * (0: it connects again after it has failed; EUSERS: there were MOST connections), and how many connections there are.
 * A reader that does not keep up misses lines.
 */
#ifndef IMAGINARY_NATIVE_FORWARD_H
#define IMAGINARY_NATIVE_FORWARD_H

#include "base/reactor.h"
#include "relay/splice.h"

#include <netinet/in.h>

struct im_target {
  int index, listener;
  struct im_source accepting;
  struct sockaddr_in to;
  bool ready;   /* a connection waits to be accepted */
  bool failing; /* its last connect has failed */
};

/* Two sockets: the one that was accepted, then the one in the cluster. */
#define IM_OUTSIDE 0
#define IM_INSIDE 1

struct im_link {
  struct im_spliced pair;
  struct im_source sources[2];
  struct im_target *target;
  bool connected;
  uint32_t events[2]; /* that were not looked at yet */
  bool queued;
  struct im_link *next_queued, *earlier, *later;
};

struct im_forward {
  struct im_reactor reactor;
  struct im_target *targets;
  int target_count;
  size_t count, most;
  struct im_link *links;
  struct im_link *first_queued, *last_queued;
  struct im_pipes pipes;
  bool paused; /* no descriptor was left: nothing is accepted until this timer */
  struct im_timer accept_again;
};

/* Starts the thread. 0, or an errno and *syscall. */
int forward_start(struct im_forward *forward, const char **syscall);
/* Ends the thread, and resets all connections. */
void forward_stop(struct im_forward *forward);

/* ---- links.c ---- */

/* Connects the accepted socket, which is the link's from now on. False: no descriptor or no memory was left. */
bool links_begin(struct im_forward *forward, struct im_target *target, int accepted);
/* One turn for each link that had something to do when this was called. */
void links_run(struct im_forward *forward);
/* All of them, with a reset. */
void links_close(struct im_forward *forward);

/* ---- forward.c ---- */

void forward_report(const struct im_forward *forward, struct im_target *target, int error);

#endif
