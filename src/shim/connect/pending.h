/*
 * Connects that wait while the guest does something else. The guest's own socket is kept aside, a placeholder stands at
 * its descriptor; when the socket is connected or refused it is put back (the swap), then the waiters are woken.
 * hooks and connect.c start and look; helper.c does the waiting, progress.c the steps; they call the part below the
 * line.
 */
#ifndef IMAGINARY_PENDING_H
#define IMAGINARY_PENDING_H

#include "core/addr.h"
#include "contract/abi/abi.h"
#include "core/private_fd.h"

#include <signal.h>
#include <stdbool.h>

/* Once per process: what happens to pending connects in a forked child. */
void pending_start_of_process(void);

/*
 * Puts a placeholder at fd and has `to` asked for; `reply`, when not -1, is a request that is already under way (it is
 * taken over). `listed`: see IM_FLAG_LISTED. 0, or an errno with nothing changed but `reply` closed.
 */
int pending_start(int fd, const struct im_addr *to, uint64_t epoch, bool listed, int reply);

/* From now on no thread can be started: the one that waits is there already, and stays when nothing is pending. */
void pending_stay(void);

/*
 * When a placeholder stands at fd: true, and `real` is the guest's socket, which stays where it is until pending_leave.
 * Costs one memory access for any other descriptor.
 */
struct im_guard {
  sigset_t signals;
};
bool pending_enter(int fd, int *real, struct im_guard *guard);
void pending_leave(const struct im_guard *guard);

/* Between enter and leave: the guest closes fd or puts something else there. */
void pending_forget(int fd);

/* Between enter and leave: `copy` is a duplicate of fd. */
void pending_copied(int fd, int copy);

/* Between enter and leave: the connect ends here, and the guest has its socket again as it is now. */
void pending_give_back(int fd);

/* ---- for helper.c and progress.c, under the lock ---- */

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

/* The question that it asks. */
struct im_request pending_request(const struct im_pending *pending);

/* The lock, for a thread whose signals are blocked for good. */
void pending_helper_enter(void);
void pending_helper_leave(void);

/* The next connect that nobody looks after yet. */
struct im_pending *pending_take(void);

/* First of those that are looked after; only the helper removes. */
struct im_pending *pending_first(void);

/* Puts the socket back. False: the guest's number is something else by now. */
bool pending_swap(struct im_pending *pending);

/* The same for duplicates that the guest made of the placeholder. True: there were some. */
bool pending_swap_copies(struct im_pending *pending);

void pending_free(struct im_pending *pending);

/* True when nothing is left to do and the helper may be started again: from then on it does not exist. */
bool pending_rest(void);
bool pending_stays(void);

/*
 * The guest has closed all descriptors it does not know, ours among them. What was pending cannot be completed: with
 * its waker closed each placeholder is hung up, which wakes whoever waits.
 */
void pending_abandon(void);

#endif
