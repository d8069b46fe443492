/* The one error of a program that ends with it, or answers with it. */
#ifndef IMAGINARY_FAIL_H
#define IMAGINARY_FAIL_H

#include <stdbool.h>

#define IM_MESSAGE_SIZE 1024

/* What went wrong, in one line: set by the last failure. */
extern char fail_message[IM_MESSAGE_SIZE];
/* Sets `fail_message` from a format and, with error != 0, what errno it was. Returns false. */
bool fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
