/* A word on the guest's standard error, if that still is what the process started with. */
#ifndef IMAGINARY_COMPLAIN_H
#define IMAGINARY_COMPLAIN_H

#include <stdbool.h>

/* Once, when the process starts. */
void complain_start(void);

/* Each text once: `said` is the caller's note of it. Never waits, and allocates nothing. Any thread. */
void complain_once(bool *said, const char *text);

#endif
