#define _GNU_SOURCE
#include "internal.h"

#include <sys/resource.h>

/*
 * How many descriptors other members may have this one hold: connections that they asked for, from the first SYN until
 * a guest has accepted or they are closed. A member may have as many as are left free for the others, so that the next
 * member finds some, however many there were before (as switches share a buffer: "dynamic thresholds"). Ready
 * connections may have half of that: a guest's own connection has room beside those of all members.
 */

/* More would not be needed, where a process may have a million. */
#define LARGEST_LIMIT 4096
/* Of the limit: the rest is for this host's own guests, for JavaScript and for the supervisor's files. */
#define PART(limit) ((limit) / 4 * 3)

uint32_t share_total(void) {
  struct rlimit limit;
  bool known = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < LARGEST_LIMIT;
  return PART(known ? (uint32_t)limit.rlim_cur : LARGEST_LIMIT);
}

static bool is_asked_for(enum im_purpose purpose) {
  return purpose == IM_POOL_IN || purpose == IM_DELIVER || purpose == IM_SIGNALLING_IN;
}

bool share_allows(const struct im_connector *connector, const struct im_opening *what, uint32_t count) {
  uint32_t own = 0, others = 0;
  if (!is_asked_for(what->purpose)) return true;
  for (const struct im_connection *connection = connector->all; connection; connection = connection->next)
    if (is_asked_for(connection->what.purpose))
      *(connection->what.peer == what->peer ? &own : &others) += connection->signal >= 0 ? 2 : 1;
  for (const struct im_batch *batch = connector->batches; batch; batch = batch->next)
    if (is_asked_for(batch->what.purpose))
      *(batch->what.peer == what->peer ? &own : &others) += batch->count - batch->begun;
  uint32_t used = own + others, free = used < connector->share ? connector->share - used : 0;
  if (count > free) return false;
  return own + count <= (what->purpose == IM_POOL_IN ? (free - count) / 2 : free - count);
}
