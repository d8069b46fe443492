/* The host's own name. */
#ifndef IMAGINARY_HOSTNAME_H
#define IMAGINARY_HOSTNAME_H

#include "libc.h"

int hostname_get(char *name, size_t size);
int hostname_uname(struct utsname *name);

#endif
