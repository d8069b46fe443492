/*
 * The sockets file, that every guest of the host may write. Input: steps of u8 kind, u8 cookie, then for kind 0 the 32
 * bytes of a slot at u8 of the cookie's set, for 1 what is put; other kinds get.
 */
#include "core/sockets.c"
#include "core/addr.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct input input = {data, size};
  static struct slot *map;
  if (!map) map = calloc(1, IM_SOCKETS_SIZE);
  slots = map;
  struct slot *touched[256] = {0};
  while (input.left > 1) {
    unsigned kind = number(&input, 1) % 3, number_ = number(&input, 1);
    uint64_t cookie = number_ * 0x100000001ull;
    struct slot *set = set_of(cookie);
    HOLDS(set >= map && set + WAYS <= map + SLOTS);
    touched[number_] = set;
    if (kind == 0) {
      unsigned way = number(&input, 1) % WAYS;
      take(&input, &set[way], sizeof *set);
      if (number(&input, 1) % 2) set[way].cookie = cookie;
    } else if (kind == 1) {
      struct im_socket socket;
      take(&input, &socket, sizeof socket);
      sockets_put(cookie, &socket);
    } else {
      struct im_socket socket;
      struct sockaddr_storage name;
      if (sockets_get(cookie, &socket)) {
        HOLDS(addr_write(&socket.local, &name) <= sizeof name);
        HOLDS(addr_write(&socket.peer, &name) <= sizeof name);
      }
    }
  }
  sockets_traffic();
  for (int i = 0; i < 256; i++)
    if (touched[i]) memset(touched[i], 0, WAYS * sizeof(struct slot));
  return 0;
}
