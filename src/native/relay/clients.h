/*
 * What one exposed port allows each client, by its address: which ones may connect, how many connections each may have
 * at once, how many new ones and how many allocations each may cause in a minute. Any thread.
 */
#ifndef IMAGINARY_NATIVE_CLIENTS_H
#define IMAGINARY_NATIVE_CLIENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct im_clients;

struct im_block {
  uint32_t network, mask;
};

struct im_client_rules {
  const struct im_block *blocks; /* the allow-list; copied */
  size_t blocks_count;
  uint32_t most_open, new_a_minute, allocations_a_minute;
};

enum im_refusal {
  IM_ALLOWED,
  IM_NOT_LISTED,
  IM_TOO_MANY_OPEN,
  IM_TOO_MANY_NEW,
  IM_TOO_MANY_ALLOCATIONS,
  IM_TOO_MANY_CLIENTS, /* nothing can be kept of another one */
};
#define IM_REFUSALS (IM_TOO_MANY_CLIENTS + 1)

/* As operators read it. NULL: it is none. */
const char *clients_reason(enum im_refusal refusal);

/* NULL: there is no memory. Whoever has it releases it. */
struct im_clients *clients_new(const struct im_client_rules *rules);
struct im_clients *clients_share(struct im_clients *clients);
void clients_release(struct im_clients *clients);

bool clients_list(const struct im_clients *clients, uint32_t address);
/* A client connects. If it may, that counts until it leaves; if not, nothing does. `now`: milliseconds, from any start.
 */
enum im_refusal clients_connect(struct im_clients *clients, uint32_t address, double now);
void clients_leave(struct im_clients *clients, uint32_t address);
/* A connection of the client is about to cause an allocation. */
enum im_refusal clients_allocate(struct im_clients *clients, uint32_t address, double now);
/* Those of which something is kept. */
size_t clients_size(struct im_clients *clients);

#endif
