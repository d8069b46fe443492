/*
 * Who sent datagrams to this process of late, and to whom of its own host it sent some by way of loopback. An answer goes
 * back to where the question came from, whether or not the table knows that host. A cache: an entry may be lost.
 */
#ifndef IMAGINARY_HEARD_H
#define IMAGINARY_HEARD_H

#include <stdbool.h>
#include <stdint.h>

void heard_note(uint32_t address, uint16_t port);
void heard_forget(uint32_t address, uint16_t port);
bool heard_lately(uint32_t address, uint16_t port);

#endif
