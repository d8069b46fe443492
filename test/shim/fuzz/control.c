/*
 * Control data of datagrams: what guests send along, and what they receive into. Input: u32 flat address of this host,
 * u32 source of the route, u8 size of the address, the address, then the control data.
 */
#include "core/table.c"
/* Each has a `show` or `shown` of its own. */
#define show show_received
#include "datagram/datagram_receive.c"
#undef show
#include "datagram/datagram_send.c"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct input input = {data, size};
  static const uint32_t none;
  table.seq = table.ports_count = &none;
  table.cluster = (struct im_cluster){.base = 0x64400000, .mask = 0xffc00000, .self = 0x64400101, .hostname = ""};
  table.cluster.alias_base = number(&input, 4);
  table.cluster.alias_loop = table.cluster.alias_base + 0x10000;
  struct im_route route = {.kind = IM_ROUTE_DIRECT, .source = number(&input, 4)};
  size_t name_size = number(&input, 1);
  uint8_t *name = piece(&input, &name_size, 0);
  size_t length = input.left;
  uint8_t *control = piece(&input, &length, 0);
  struct msghdr message = {
      .msg_name = name, .msg_namelen = (socklen_t)name_size, .msg_control = control, .msg_controllen = length};
  struct msghdr sent = message;
  struct rewritten space;
  if (set_source(&sent, &route, &space)) {
    HOLDS(sent.msg_control == control || sent.msg_control == space.control.bytes);
    HOLDS(sent.msg_control == control || sent.msg_controllen <= sizeof space.control);
  }
  show_received(-1, &message, message.msg_namelen);
  HOLDS(message.msg_control == control && message.msg_controllen == length);
  free(control);
  free(name);
  return 0;
}
