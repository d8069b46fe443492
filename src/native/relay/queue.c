#define _GNU_SOURCE
#include "parts.h"

#include <unistd.h>

void queue_add(struct im_queue *queue, struct im_arrival *arrival) {
  arrival->queue = queue;
  arrival->earlier = queue->last;
  arrival->later = NULL;
  if (queue->last)
    queue->last->later = arrival;
  else
    queue->first = arrival;
  queue->last = arrival;
  queue->count++;
}

void queue_remove(struct im_arrival *arrival) {
  struct im_queue *queue = arrival->queue;
  if (!queue) return;
  if (arrival->earlier)
    arrival->earlier->later = arrival->later;
  else
    queue->first = arrival->later;
  if (arrival->later)
    arrival->later->earlier = arrival->earlier;
  else
    queue->last = arrival->earlier;
  arrival->queue = NULL;
  queue->count--;
}

void queue_bury(struct im_relay *relay, struct im_arrival *arrival) {
  if (arrival->clients) {
    clients_leave(arrival->clients, arrival->address);
    clients_release(arrival->clients);
    arrival->clients = NULL;
  }
  queue_remove(arrival);
  reactor_clear(&relay->reactor, &arrival->timer);
  reactor_unwatch(&relay->reactor, &arrival->source);
  reactor_bury(&relay->reactor, &arrival->source);
}

void queue_drop(struct im_relay *relay, struct im_arrival *arrival) {
  queue_bury(relay, arrival);
  close(arrival->fd);
}
