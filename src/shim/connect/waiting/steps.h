/* The steps of one pending connect: asked, answered, connecting, put back, retired. Lock held. */
#ifndef IMAGINARY_STEPS_H
#define IMAGINARY_STEPS_H

#include "pending.h"

/* Sends the question, in the guest's own call. False: there is no descriptor left. The helper does the rest. */
bool steps_ask(struct im_pending *pending);

void steps_begin(struct im_pending *pending);

/* Sends the question that could not be sent before. False: the supervisor's queue is still full. */
bool steps_send(struct im_pending *pending);

void steps_event(struct im_pending *pending, unsigned which);

/* Moves a retired one on; in how many milliseconds to look again, or -1 when there is nothing to wait for. */
int steps_retire(struct im_pending *pending);

#endif
