/* Where the run directory and the shim's own file are. Written once, when the process starts. */
#ifndef IMAGINARY_PATHS_H
#define IMAGINARY_PATHS_H

#include <stdbool.h>

/* Takes the run directory, and finds the shim's own file. False: not an absolute path, or too long. */
bool paths_take(const char *directory);

/* The shim is not active in this process. */
void paths_forget(void);

/* The run directory; empty when not active. */
const char *paths_directory(void);

/* The shim's own file, as an absolute path; empty when unknown. */
const char *paths_library(void);

#endif
