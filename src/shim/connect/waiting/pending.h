/* One pending connect, and the lists of all. Every call but the lock's own: Lock held. */
#ifndef IMAGINARY_PENDING_H
#define IMAGINARY_PENDING_H

#include "core/addr.h"
#include "core/private_fd.h"

#include <signal.h>
#include <stdbool.h>

enum im_stage { IM_STAGE_NEW, IM_STAGE_ASKED, IM_STAGE_CONNECTING, IM_STAGE_RETIRED, IM_STAGE_DEAD };

struct im_pending {
  struct im_pending *next, *previous;
  enum im_stage stage;
  int fd;      /* the guest's number; -1: the guest gave it up */
  ino_t inode; /* of the placeholder's end at fd */
  uint32_t id; /* new for every use of this memory */
  struct im_private_fd real, waker;
  struct im_private_fd reply;  /* where the answer comes */
  struct im_private_fd unsent; /* what goes with the question, while the supervisor's queue is full */
  struct im_addr to;
  uint64_t epoch; /* of the location that did not work, for the next question */
  bool listed;    /* IM_FLAG_LISTED */
  bool shared;    /* with a child: it goes on when the guest has closed it here */
  bool copied;    /* there are duplicates of the placeholder */
  int asked;
  int step; /* RETIRED: how far */
  int64_t retired;
};

/*
 * One lock, taken only by processes with something pending, always with all signals blocked (connect and close may be
 * called in signal handlers) and never around anything that waits. `signals`: the thread's own, to be put back; NULL
 * for a thread whose signals are blocked for good.
 */
void pending_lock(sigset_t *signals);
void pending_unlock(const sigset_t *signals);

/* In no list; NULL: no memory. Caller owns. */
struct im_pending *pending_new(void);

/* Closes what it has, and takes its memory back. It is in no list. */
void pending_release(struct im_pending *pending);

/* Adds one for the helper to look after; and the next one of those that it does not look after yet. */
void pending_add(struct im_pending *pending);
struct im_pending *pending_take(void);

/* First of those that are looked after; and one of them is done. Only the helper removes. */
struct im_pending *pending_first(void);
void pending_free(struct im_pending *pending);

/* Whether there is none at all. */
bool pending_none(void);

/* Takes one out of its list, to give up all of them. Caller owns. */
struct im_pending *pending_pop(void);

/* The connect whose placeholder, or a duplicate of it, stands at fd. NULL: none. */
struct im_pending *pending_at(int fd);
bool pending_stands_at(const struct im_pending *pending, int fd);

/* The guest's number means something else from now on. */
void pending_forget(int fd);

/* A child has all of them too. */
void pending_share(void);

#endif
