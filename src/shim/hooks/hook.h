/*
 * How a hook is written: a function of another C name that is exported as libc's, so that no declaration is in the way.
 */
#ifndef IMAGINARY_HOOK_H
#define IMAGINARY_HOOK_H

#include "core/libc.h"

#define HOOK(type, name, parameters) \
  __attribute__((visibility("default"))) type hook_##name parameters __asm__(#name); \
  type hook_##name parameters

/* Another name by which libc exports the same function; behind the hook. */
#define HOOK_ALIAS(name, other) \
  extern __typeof__(hook_##name) alias_##other __asm__(#other) __attribute__((visibility("default"), alias(#name)));

#endif
