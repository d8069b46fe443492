/* The placeholder comes to the guest's descriptor, and the socket comes back. Lock held. */
#ifndef IMAGINARY_SWAP_H
#define IMAGINARY_SWAP_H

#include "pending.h"

/* Puts `end`, the placeholder's, at fd, and closes it. `status`, `flags`: fd's, by F_GETFL and F_GETFD. */
void swap_in(struct im_pending *pending, int fd, int end, int status, int flags);

/* Puts the socket back. False: the guest's number is something else by now. */
bool swap_back(struct im_pending *pending);

/* The same for duplicates that the guest made of the placeholder. True: there were some. */
bool swap_back_copies(struct im_pending *pending);

#endif
