/*
 * Gives a descriptor another socket of the same kind: a connection that the supervisor has made (handoff.c), or a
 * socket bound as the guest has bound it. The latter, since the wildcard is bound at a loopback alias of this host,
 * from where the kernel refuses connects out of the cluster.
 */
#ifndef IMAGINARY_REPLACE_H
#define IMAGINARY_REPLACE_H

#include <stdbool.h>

/* A guest sets that option. Called before it is set, so that a connect of another thread reads it. */
void replace_note(int level, int name);
/* What a guest may have set at `from` before it was connected. */
void replace_options(int from, int to);
/*
 * A connection arrives as an IPv6 socket with mapped addresses where the kernel has IPv6; a guest's own may be an IPv4
 * one.
 */
void replace_family(int like, int fresh);

/* Of F_SETOWN and F_SETSIG: a connection that was accepted has none of the listener's. */
void replace_owner(int from, int to);

void replace_option(int from, int to, int level, int name);

/*
 * Puts `fresh` at fd, with fd's flags and epoll registrations. False with errno: nothing has changed. Does not close
 * `fresh`.
 */
bool replace_with(int fd, int fresh);

/* True: fd is a new socket now, bound to the wildcard. False with errno as it was: nothing has changed. */
bool replace_bound(int fd);

#endif
