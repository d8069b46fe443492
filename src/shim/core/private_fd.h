/*
 * Descriptors of ours in the guest's table, for as long as a connect is pending: CLOEXEC, at high numbers, and known by
 * inode, because a guest may close every descriptor it does not know and reuse the number.
 */
#ifndef IMAGINARY_PRIVATE_FD_H
#define IMAGINARY_PRIVATE_FD_H

#include <stdbool.h>
#include <sys/types.h>

struct im_private_fd {
  int fd; /* -1: none */
  ino_t inode;
};
#define IM_NONE ((struct im_private_fd){-1, 0})

/* The number from which on descriptors are kept; a guest's own are below, as long as there is room. */
int private_fd_floor(void);

/* A copy of fd at a high number; false with errno when there is no room. */
bool private_fd_copy(int fd, struct im_private_fd *kept);

/* The same, and fd is closed in any case. */
bool private_fd_move(int fd, struct im_private_fd *kept);

/* Whether the number still is the descriptor that was kept. */
bool private_fd_valid(const struct im_private_fd *kept);

/* Closes it, unless the number means something else by now. */
void private_fd_close(struct im_private_fd *kept);

/* Inode of an open descriptor; 0: none. */
ino_t private_fd_inode(int fd);

#endif
