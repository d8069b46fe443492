/* Socket addresses as guests and the kernel give them. Input: u8 size of the guest's buffer, then the address. */
#include "core/addr.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct input input = {data, size};
  socklen_t room = number(&input, 1), told = room;
  size_t length = input.left;
  uint8_t *address = piece(&input, &length, 0);
  struct im_addr read, again;
  struct sockaddr_storage written;
  fuzz_sink += addr_is_nowhere(address, (socklen_t)length);
  if (addr_read(address, (socklen_t)length, &read)) {
    socklen_t full = addr_write(&read, &written);
    HOLDS(addr_read(&written, full, &again));
    HOLDS(again.ip == read.ip && again.port == read.port && again.form == read.form);
    struct sockaddr *guests = malloc(room + !room);
    addr_give(&written, full, guests, &told);
    HOLDS(told == full);
    free(guests);
  }
  free(address);
  return 0;
}
