/*
 * Connects that wait while the guest does something else. The guest's own socket is kept aside, a placeholder stands at
 * its descriptor; when the socket is connected or refused it is put back (the swap), then the waiters are woken.
 * README.md has the map; this header is all that the rest of the shim sees.
 */
#ifndef IMAGINARY_WAITING_H
#define IMAGINARY_WAITING_H

#include "core/addr.h"

#include <signal.h>
#include <stdbool.h>

/* Once per process: what happens to pending connects in a forked child. */
void waiting_start_of_process(void);

/*
 * Puts a placeholder at fd and has `to` located. `reply`, when not -1: the end of a request that is already under way;
 * the callee owns it. `listed`: see IM_FLAG_LISTED. 0, or an errno with nothing changed but `reply` closed.
 */
int waiting_start(int fd, const struct im_addr *to, uint64_t epoch, bool listed, int reply);

/* From now on no thread can be started: the helper is started now, and stays when nothing is pending. */
void waiting_stay(void);

/*
 * When a placeholder stands at fd: true, and `real` is the guest's socket, which stays where it is until waiting_leave.
 * Costs one memory access for any other descriptor.
 */
struct im_guard {
  sigset_t signals;
};
bool waiting_enter(int fd, int *real, struct im_guard *guard);
void waiting_leave(const struct im_guard *guard);

/* Between enter and leave: the guest closes fd or puts something else there. */
void waiting_forget(int fd);

/* Between enter and leave: `copy` is a duplicate of fd. */
void waiting_copied(int fd, int copy);

/* Between enter and leave: the connect ends here. The guest has its socket again, with a pending connect of the
 * kernel's. */
void waiting_give_up(int fd);

#endif
