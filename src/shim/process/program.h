/*
 * Which of the shim's two builds a program needs: its C library is read from its file. Runs between fork and exec: on
 * the stack, without libc's memory.
 */
#ifndef IMAGINARY_PROGRAM_H
#define IMAGINARY_PROGRAM_H

/* At start: finds the other build beside our own. */
void program_start(const char *library);

/* The build to preload into a program. What cannot be read gets our own; so does what is linked statically. */
const char *program_library(const char *path);
const char *program_library_at(int directory, const char *path);
const char *program_library_of(int fd);

/* The same after a search of PATH, as execvp and posix_spawnp do it. */
const char *program_library_found(const char *file);

#endif
