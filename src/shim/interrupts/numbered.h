/* The waiting calls made by number, through syscall(). */
#ifndef IMAGINARY_NUMBERED_H
#define IMAGINARY_NUMBERED_H

#include <stdbool.h>

/* False: not one of these. */
bool numbered_wait(long number, const long a[6], long *result);

#endif
