/*
 * What stands at a guest's descriptor while its connect is pending: one end of a stream socket pair whose send buffer
 * is full, so that it is neither readable nor writable nor in error, as a connecting socket is.
 */
#ifndef IMAGINARY_PLACEHOLDER_H
#define IMAGINARY_PLACEHOLDER_H

#include "core/private_fd.h"

/* Makes the pair: `end` is for the guest (a low number, to be moved by dup3 and closed), `waker` the other side. */
bool placeholder_make(int *end, struct im_private_fd *waker);

/* Wakes calls that wait for the placeholder to become writable. */
void placeholder_drain(const struct im_private_fd *waker);

/* Wakes calls that wait for the placeholder to become readable only. */
void placeholder_poke(const struct im_private_fd *waker);

/* Whether no process has the placeholder any more, and no waiting call. */
bool placeholder_gone(const struct im_private_fd *waker);

#endif
