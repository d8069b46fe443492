/*
 * What the supervisor wants done to connections that only the guest has descriptors of: it marks them in the sockets
 * file, and sends IM_SIGNAL.
 */
#ifndef IMAGINARY_MARKS_H
#define IMAGINARY_MARKS_H

#include <signal.h>
#include <stdbool.h>

/* At the start of a process: from now on it heeds them. */
void marks_start_of_process(void);

/*
 * A guest that waits for all signals has got `number`: whether that is the supervisor's, which it knows nothing of.
 * Then the marks have been heeded.
 */
bool marks_taken(const sigset_t *set, int number, const siginfo_t *info);

#endif
