/* Prints one JSON object of statistics, in microseconds, over samples taken in nanoseconds. */
#ifndef BENCH_STATS_H
#define BENCH_STATS_H
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static int stats_compare(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

static inline void stats_print(uint64_t *ns, size_t n) {
  qsort(ns, n, sizeof *ns, stats_compare);
  double sum = 0, squares = 0;
  for (size_t i = 0; i < n; i++) sum += (double)ns[i];
  double mean = sum / (double)n;
  for (size_t i = 0; i < n; i++) squares += ((double)ns[i] - mean) * ((double)ns[i] - mean);
  printf("{\"count\":%zu,\"min\":%.3f,\"median\":%.3f,\"mean\":%.3f,\"std\":%.3f,\"p99\":%.3f,\"max\":%.3f}\n", n,
         (double)ns[0] / 1e3, (double)ns[n / 2] / 1e3, mean / 1e3, sqrt(squares / (double)n) / 1e3,
         (double)ns[n - 1 - n / 100] / 1e3, (double)ns[n - 1] / 1e3);
}

/* What path-client answers, and who takes its place: microseconds, or per second. */
static inline void samples_print(const double *samples, size_t count, size_t failed, const char *error) {
  printf("{\"samples\":[");
  for (size_t i = 0; i < count; i++) printf("%s%.2f", i ? "," : "", samples[i]);
  printf("],\"failed\":%zu,\"error\":\"%s\"}\n", failed, error);
  fflush(stdout);
}
#endif
