/*
 * A data port as a program of its own, for tests of relay/ without Node.js, with memory checks.
 *
 *   data-port MOST_PAIRS HEADER_LIMIT PAIR_LIMIT PROBE_LIMIT
 *
 * Writes its port, then one JSON line for each event and each answer. Input: `expect HEX HEX ID`, `probe ID SIDE ON`,
 * `break ID`; its end closes the port.
 */
#define _GNU_SOURCE
#include "relay/relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_event(void *context, const struct im_relay_event *event) {
  (void)context;
  switch (event->kind) {
  case IM_RELAY_PAIRED: printf("{\"type\":\"paired\",\"id\":%u}\n", event->id); break;
  case IM_RELAY_ENDED:
    printf("{\"type\":\"ended\",\"id\":%u,\"bytes\":[%llu,%llu],\"error\":%d}\n", event->id,
           (unsigned long long)event->bytes[0], (unsigned long long)event->bytes[1], event->error);
    break;
  case IM_RELAY_UNUSED: printf("{\"type\":\"unused\",\"id\":%u,\"arrived\":%d}\n", event->id, event->arrived); break;
  case IM_RELAY_REJECTED:
    printf("{\"type\":\"rejected\",\"count\":%u,\"reason\":\"%s\"}\n", event->count, event->reason);
    break;
  case IM_RELAY_CALLER:
  case IM_RELAY_CALLER_HELLO:
  case IM_RELAY_CALLER_GONE:
  case IM_RELAY_CLIENTS_REFUSED:
  case IM_RELAY_CLIENTS_LED: break; /* there is no ingress */
  }
  fflush(stdout);
}

static void parse(const char *hex, unsigned char *bytes) {
  for (size_t i = 0; i < IM_TOKEN_SIZE; i++) {
    unsigned byte;
    if (sscanf(hex + 2 * i, "%2x", &byte) != 1) exit(3);
    bytes[i] = (unsigned char)byte;
  }
}

int main(int argc, char **argv) {
  if (argc != 5) return 3;
  struct im_relay_options options = {.address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)},
                                     .most_pairs = strtoul(argv[1], NULL, 10),
                                     .header_limit = atoi(argv[2]),
                                     .pair_limit = atoi(argv[3]),
                                     .probe_limit = atoi(argv[4]),
                                     .on_event = on_event};
  struct im_relay *relay;
  uint16_t port;
  const char *syscall;
  int error = relay_open(&options, &relay, &port, &syscall);
  if (error != 0) {
    fprintf(stderr, "%s: %s\n", syscall, strerror(error));
    return 1;
  }
  printf("{\"type\":\"open\",\"port\":%u}\n", port);
  fflush(stdout);
  char line[512], a[2 * IM_TOKEN_SIZE + 1], b[2 * IM_TOKEN_SIZE + 1];
  unsigned id;
  while (fgets(line, sizeof line, stdin)) {
    int side, on;
    bool ok;
    if (sscanf(line, "probe %u %d %d", &id, &side, &on) == 3 || sscanf(line, "break %u", &id) == 1 ||
        sscanf(line, "withdraw %u", &id) == 1) {
      ok = line[0] == 'p'   ? relay_probe(relay, id, side, on)
           : line[0] == 'b' ? relay_break_off(relay, id)
                            : relay_withdraw(relay, id);
      printf("{\"type\":\"answer\",\"id\":%u,\"ok\":%s}\n", id, ok ? "true" : "false");
      fflush(stdout);
      continue;
    }
    unsigned char first[IM_TOKEN_SIZE], second[IM_TOKEN_SIZE];
    if (sscanf(line, "expect %64s %64s %u", a, b, &id) != 3) return 3;
    parse(a, first);
    parse(b, second);
    ok = relay_expect(relay, first, second, id);
    printf("{\"type\":\"answer\",\"id\":%u,\"ok\":%s}\n", id, ok ? "true" : "false");
    fflush(stdout);
  }
  relay_close(relay);
  return 0;
}
