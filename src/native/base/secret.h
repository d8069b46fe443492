/* The one comparison of secrets: of whole ones only, and in a time that does not depend on where they differ. */
#ifndef IMAGINARY_SECRET_H
#define IMAGINARY_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool secret_is(const void *said, const void *expected, size_t size) {
  const volatile uint8_t *a = said, *b = expected; /* volatile: a compiler may not stop at the first difference */
  uint8_t differs = 0;
  for (size_t i = 0; i < size; i++) differs |= (uint8_t)(a[i] ^ b[i]);
  return differs == 0;
}

#endif
