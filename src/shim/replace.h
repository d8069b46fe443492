/*
 * Gives a descriptor another socket of the same kind. A socket that was bound to the wildcard stands at a face of this
 * host; if it then connects out of the cluster, the kernel refuses, and a socket bound as the guest said takes its
 * place.
 */
#ifndef IMAGINARY_REPLACE_H
#define IMAGINARY_REPLACE_H

#include <stdbool.h>

/* True: fd is a new socket now, bound to the wildcard. False with errno as it was: nothing has changed. */
bool replace_bound(int fd);

#endif
