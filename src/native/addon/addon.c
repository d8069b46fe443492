/*
 * The Node-API addon of the supervisor and the seed: what Node.js has no API for. Its types are in
 * index.d.ts. Policy stays in TypeScript.
 */
#include "util.h"

NAPI_MODULE_INIT() {
  bool ok = util_export(env, exports, "openShimSocket", socket_open) &&
            util_export(env, exports, "reply", socket_reply) &&
            util_export(env, exports, "sendDatagram", datagram_binding_send) &&
            util_export(env, exports, "closeDescriptor", socket_close_descriptor) &&
            util_export(env, exports, "acknowledge", tcp_acknowledge) &&
            util_export(env, exports, "lockFile", lock_file) && util_export(env, exports, "mapFile", map_file) &&
            util_export(env, exports, "pipe", pipe_make) && util_export(env, exports, "spawn", spawn_guest) &&
            util_export(env, exports, "openConnector", connector_binding_open) &&
            util_export(env, exports, "tcpSockets", diag_tcp_sockets) &&
            util_export(env, exports, "listen", listen_at) &&
            util_export(env, exports, "openDataPort", data_port_open) &&
            util_export(env, exports, "exposedClients", exposed_clients_make);
  if (!ok) napi_throw_error(env, NULL, "the native addon could not be set up");
  return exports;
}
