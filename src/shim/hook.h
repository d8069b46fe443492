/*
 * How a hook is written: a function of another C name that is exported as libc's, so that no declaration is in the way.
 */
#ifndef IMAGINARY_HOOK_H
#define IMAGINARY_HOOK_H

#include "libc.h"

#define HOOK(type, name, parameters) \
  __attribute__((visibility("default"))) type hook_##name parameters __asm__(#name); \
  type hook_##name parameters

#endif
