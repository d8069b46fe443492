/* The host's own name. */
#ifndef IMAGINARY_HOSTNAME_H
#define IMAGINARY_HOSTNAME_H

#include "core/libc.h"

#include <stdbool.h>

int hostname_get(char *name, size_t size);
int hostname_uname(struct utsname *name);
/* False, with errno set: the name that a guest sees is not the machine's, so it may not change the machine's. */
bool hostname_may_set(void);

#endif
