/*
 * Descriptors of ours in the guest's table, for as long as a connect is pending: CLOEXEC, at high numbers, and known by
 * inode, because a guest may close every descriptor it does not know and reuse the number.
 */
#ifndef IMAGINARY_KEEP_H
#define IMAGINARY_KEEP_H

#include <stdbool.h>
#include <sys/types.h>

struct im_kept {
  int fd; /* -1: none */
  ino_t inode;
};
#define IM_NONE ((struct im_kept){-1, 0})

/* The number from which on descriptors are kept; a guest's own are below, as long as there is room. */
int keep_floor(void);

/* A copy of fd at a high number; false with errno when there is no room. */
bool keep_copy(int fd, struct im_kept *kept);

/* The same, and fd is closed in any case. */
bool keep_move(int fd, struct im_kept *kept);

/* Whether the number still is the descriptor that was kept. */
bool keep_valid(const struct im_kept *kept);

/* Closes it, unless the number means something else by now. */
void keep_close(struct im_kept *kept);

/* Inode of an open descriptor; 0: none. */
ino_t keep_inode(int fd);

#endif
