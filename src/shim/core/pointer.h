/*
 * Pointers that a guest gives: the shim reads behind them before the kernel has, and one that leads nowhere must not
 * end the guest where the kernel says EFAULT. What is close above the caller on its stack, or part of the program
 * itself, is taken to be there. For the rest the kernel is asked, once per page, as the guest may unmap a page at any
 * time. errno is kept.
 */
#ifndef IMAGINARY_POINTER_H
#define IMAGINARY_POINTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The page that was found last, to ask once for what is in one page. Of one call of the guest's, and never kept. */
struct im_page {
  uintptr_t start;
};

/* Once, when the process starts. */
void pointer_start(void);

bool pointer_readable(const void *at, size_t size, struct im_page *found);

/* A string, up to its NUL. */
bool pointer_text(const char *at, struct im_page *found);

/* Changes nothing there. */
bool pointer_writable(void *at, size_t size);

#endif
