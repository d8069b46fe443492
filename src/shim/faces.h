/*
 * Network `flat`: the two real addresses of this host, and real ↔ virtual by arithmetic. In other networks the host
 * has no face: the wildcard stands for it, and loopback is loopback.
 */
#ifndef IMAGINARY_FACES_H
#define IMAGINARY_FACES_H

#include <stdbool.h>
#include <stdint.h>

bool faces_flat(void);

/* What a guest's wildcard or virtual address is bound to. */
uint32_t faces_host(void);

/* What stands for the guest's 127.0.0.1. */
uint32_t faces_loop(void);

/* The virtual address (or 127.0.0.1) behind a real one; false: no face of this cluster, or not our own loopback. */
bool faces_virtual(uint32_t real, uint32_t *address);

#endif
