/* Files that take one short text: of /proc, of cgroups. */
#ifndef IMAGINARY_FILE_H
#define IMAGINARY_FILE_H

#include <stdbool.h>

/* False: see fail.h. */
bool file_write(const char *path, const char *text);

#endif
