/*
 * What the supervisor wants done to connections that only the guest has descriptors of: it marks them in the sockets
 * file, and sends IM_SIGNAL.
 */
#ifndef IMAGINARY_MARKS_H
#define IMAGINARY_MARKS_H

/* At the start of a process: from now on it heeds them. */
void marks_start_of_process(void);

#endif
