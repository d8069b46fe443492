#define _GNU_SOURCE
#include "parts.h"

#define PAUSE (1000 * IM_MS) /* between two events about the clients of one port */

static void say(struct im_relay *relay, struct im_count *count, struct im_relay_event event) {
  if (count->count == 0) return;
  event.count = count->count;
  event.address = count->last;
  count->count = 0;
  relay_report(relay, &event);
}

void tell_all(struct im_relay *relay, struct im_ingress *ingress) {
  struct im_relay_event event = {.kind = IM_RELAY_CLIENTS_LED, .ingress = ingress->number, .lead = ingress->lead};
  say(relay, &ingress->led, event);
  event.kind = IM_RELAY_CLIENTS_REFUSED;
  for (int i = 1; i < IM_REFUSALS; i++) {
    event.reason = clients_reason((enum im_refusal)i);
    say(relay, &ingress->refused[i], event);
  }
  reactor_clear(&relay->reactor, &ingress->tell);
  ingress->told = clock_now();
}

static void on_tell_time(void *context, void *owner) { tell_all(context, owner); }

/* The first one at once, those within the next second at its end. */
static void add(struct im_relay *relay, struct im_ingress *ingress, struct im_count *count, uint32_t address) {
  count->count++;
  count->last = address;
  if (ingress->tell.at) return;
  ingress->tell = (struct im_timer){.on_time = on_tell_time, .owner = ingress};
  reactor_set(&relay->reactor, &ingress->tell, ingress->told ? ingress->told + PAUSE : 0);
}

void tell_refused(struct im_relay *relay, struct im_ingress *ingress, enum im_refusal refusal, uint32_t address) {
  add(relay, ingress, &ingress->refused[refusal], address);
}

void tell_led(struct im_relay *relay, struct im_ingress *ingress, uint32_t address) {
  add(relay, ingress, &ingress->led, address);
}
