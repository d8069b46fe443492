/*
 * Per descriptor of this process: which epoll sets watch it, and whether a placeholder stands at it. Lock-free, no
 * system call, safe in signal handlers; what is remembered of a descriptor that was closed meanwhile is found out by
 * the EPOLL_CTL_DEL that comes before its use.
 */
#ifndef IMAGINARY_WATCHES_H
#define IMAGINARY_WATCHES_H

#include "core/libc.h"

#include <stdbool.h>
#include <stdint.h>

/* After epoll_ctl succeeded: remembers, updates or forgets. */
void watches_note(int set, int op, int fd, const struct epoll_event *event);

/* Takes fd out of all sets that it is remembered for; forgets those that it was not in. True: it was in some. */
bool watches_hide(int fd);

/* Puts fd back into those that it is hidden from. */
void watches_show(int fd);

/* The mark of a descriptor at which a placeholder stands. */
bool watches_mark(int fd, bool pending);
bool watches_marked(int fd);

#endif
