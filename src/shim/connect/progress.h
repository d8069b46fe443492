/*
 * The steps of one pending connect: asked, answered, connecting, put back, retired. Called by helper.c, under the lock.
 */
#ifndef IMAGINARY_PROGRESS_H
#define IMAGINARY_PROGRESS_H

#include "pending.h"

#include <stdbool.h>

void progress_begin(struct im_pending *pending);

/* Sends the question that could not be sent before. False: the supervisor's queue is still full. */
bool progress_send(struct im_pending *pending);

void progress_event(struct im_pending *pending, unsigned which);

/* Moves a retired one on; in how many milliseconds to look again, or -1 when there is nothing to wait for. */
int progress_retire(struct im_pending *pending);

#endif
