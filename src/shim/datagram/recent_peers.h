/*
 * Recent peers: senders of datagrams to this process, and receivers on its own host by way of loopback. An answer goes
 * back to where the question came from, whether or not the table knows that host. A cache: an entry may be lost. Any
 * thread.
 */
#ifndef IMAGINARY_RECENT_PEERS_H
#define IMAGINARY_RECENT_PEERS_H

#include <stdbool.h>
#include <stdint.h>

void recent_peers_note(uint32_t address, uint16_t port);
void recent_peers_forget(uint32_t address, uint16_t port);
bool recent_peers_known(uint32_t address, uint16_t port);

#endif
