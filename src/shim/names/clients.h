/*
 * Clients of the cluster: the table lists none but itself, and their names follow from their addresses
 * (seed/clients.ts).
 */
#ifndef IMAGINARY_CLIENTS_H
#define IMAGINARY_CLIENTS_H

#include "core/table.h"

#define IM_CLIENT_NAME 64

/*
 * The location of the client with this address or name. The name is written to `text`. False: there is no such client.
 */
bool clients_at(uint32_t address, struct im_location *location, char text[IM_CLIENT_NAME]);
bool clients_named(const char *name, struct im_location *location, char text[IM_CLIENT_NAME]);

#endif
