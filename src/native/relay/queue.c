#include "parts.h"

#include <stdlib.h>
#include <unistd.h>

void queue_add(struct queue *queue, struct connection *connection, int64_t deadline) {
  connection->deadline = deadline;
  connection->earlier = queue->last;
  connection->later = NULL;
  if (queue->last)
    queue->last->later = connection;
  else
    queue->first = connection;
  queue->last = connection;
  queue->count++;
}

void queue_remove(struct queue *queue, struct connection *connection) {
  if (connection->earlier)
    connection->earlier->later = connection->later;
  else
    queue->first = connection->later;
  if (connection->later)
    connection->later->earlier = connection->earlier;
  else
    queue->last = connection->earlier;
  connection->earlier = connection->later = NULL;
  queue->count--;
}

void queue_bury(struct relay *relay, struct connection *connection) {
  connection->state = DEAD;
  connection->later = relay->dead;
  relay->dead = connection;
}

void queue_free_dead(struct relay *relay) {
  while (relay->dead) {
    struct connection *next = relay->dead->later;
    free(relay->dead);
    relay->dead = next;
  }
}

void queue_drop(struct relay *relay, struct connection *connection) {
  if (connection->state == FRESH) queue_remove(&relay->fresh, connection);
  if (connection->state == PROBED) queue_remove(&relay->probes, connection);
  close(connection->fd);
  queue_bury(relay, connection);
}
