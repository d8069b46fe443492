/*
 * For the fuzz targets. Each includes the source files whose inner functions it calls and is linked with the shim's
 * other ones, except the hooks and core/{shim,paths,complain}.c: what those say about the process is said here.
 *
 * A target reads what it needs from the front of the input; the rest is the message itself, in memory of exactly its
 * size.
 */
#ifndef IMAGINARY_FUZZ_H
#define IMAGINARY_FUZZ_H

#include "core/complain.h"
#include "core/paths.h"
#include "core/shim.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

bool shim_active(void) { return true; }
const char *paths_directory(void) { return "/run/imaginary"; }
const char *paths_library(void) { return "/opt/imaginary/shim-glibc.so"; }
void complain_once(bool *said, const char *text) { (void)said, (void)text; }

/* What must hold whatever the input is. */
#define HOLDS(condition) \
  do { \
    if (!(condition)) __builtin_trap(); \
  } while (0)

struct input {
  const uint8_t *at;
  size_t left;
};

static inline void take(struct input *input, void *to, size_t size) {
  size_t there = size < input->left ? size : input->left;
  memset(to, 0, size);
  memcpy(to, input->at, there);
  input->at += there;
  input->left -= there;
}

static inline uint32_t number(struct input *input, size_t bytes) {
  uint32_t value = 0;
  take(input, &value, bytes);
  return value;
}

/* A copy of the next bytes, at most `size`, with `behind` zeros behind them; to be freed. */
static inline uint8_t *piece(struct input *input, size_t *size, size_t behind) {
  if (*size > input->left) *size = input->left;
  uint8_t *copy = calloc(1, *size + behind + (*size + behind == 0));
  take(input, copy, *size);
  return copy;
}

/* So that nothing can remove the reading of a text. */
static volatile size_t fuzz_sink;

#endif
