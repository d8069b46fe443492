/*
 * The Node-API addon of the supervisor and the seed: what Node.js has no API for. Its types are in
 * index.d.ts. Policy stays in TypeScript.
 */
#include "util.h"

NAPI_MODULE_INIT() {
  bool ok = im_export(env, exports, "openShimSocket", im_open_shim_socket) &&
            im_export(env, exports, "reply", im_reply) && im_export(env, exports, "sendDatagram", im_send_datagram) &&
            im_export(env, exports, "closeDescriptor", im_close_descriptor) &&
            im_export(env, exports, "lockFile", im_lock_file) && im_export(env, exports, "mapFile", im_map_file) &&
            im_export(env, exports, "pipe", im_pipe) && im_export(env, exports, "spawn", im_spawn) &&
            im_export(env, exports, "openConnector", im_open_connector) &&
            im_export(env, exports, "tcpSockets", im_tcp_sockets) &&
            im_export(env, exports, "openDataPort", im_open_data_port);
  if (!ok) napi_throw_error(env, NULL, "the native addon could not be set up");
  return exports;
}
