/* Whether the shim is active in this process, and what it took from the environment when it was loaded. */
#ifndef IMAGINARY_INIT_H
#define IMAGINARY_INIT_H

#include <stdbool.h>

/* False: IMAGINARY_DIR is not set, or what it names is unusable. Then every call is libc's own. */
bool im_active(void);

/* The run directory; empty when not active. */
const char *im_directory(void);

/* The shim's own file, as an absolute path; empty when unknown. */
const char *im_library(void);

/* Says something on the guest's standard error, if that still is what the process started with. Each text once. */
void im_complain(bool *said, const char *text);

#endif
