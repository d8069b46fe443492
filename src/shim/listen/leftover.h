/*
 * Network `flat`: the machine's kernel remembers connections of a host's earlier epoch for a minute (TIME_WAIT), at the
 * addresses that the host has again in its next epoch. A sandbox of its own would know nothing of them.
 */
#ifndef IMAGINARY_LEFTOVER_H
#define IMAGINARY_LEFTOVER_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Whether everything that the kernel has at that real port ended before `started` (CLOCK_MONOTONIC, in 1/100 s modulo
 * 2^32; 0: not known, and nothing did). Reads the kernel's list: for a bind that has failed.
 */
bool leftover_only(uint32_t real, uint16_t real_port, uint32_t started);

#endif
