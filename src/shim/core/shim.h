/* Whether the shim is active in this process. */
#ifndef IMAGINARY_SHIM_H
#define IMAGINARY_SHIM_H

#include <stdbool.h>

/* False: IMAGINARY_DIR is not set, or what it names is unusable. Then every call is libc's own. Any thread. */
bool shim_active(void);

#endif
