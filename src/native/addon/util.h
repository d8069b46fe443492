/* Helpers around Node-API: checked calls, arguments, errors with an errno name. Internal to the addon. */
#ifndef IMAGINARY_NATIVE_UTIL_H
#define IMAGINARY_NATIVE_UTIL_H

#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IM_PATH_MAX 4096

/* Throws an Error like those of Node.js: message, code, errno, syscall, path (may be NULL). */
void util_throw_errno(napi_env env, int error, const char *syscall, const char *path);

/* Reads `count` arguments; throws TypeError `usage` and returns false when there are fewer. */
bool util_arguments(napi_env env, napi_callback_info info, napi_value *values, size_t count, const char *usage);

/* A path: throws and returns false unless it is a string that fits and holds no NUL. */
bool util_path(napi_env env, napi_value value, char path[IM_PATH_MAX]);

/* A descriptor: throws and returns false unless it is a number >= 0. */
bool util_fd(napi_env env, napi_value value, int *fd);

napi_value util_undefined(napi_env env);

/* One function of the addon's exports object. */
bool util_export(napi_env env, napi_value exports, const char *name, napi_callback callback);

/* The functions themselves. */
napi_value socket_open(napi_env env, napi_callback_info info);
napi_value socket_reply(napi_env env, napi_callback_info info);
napi_value datagram_binding_send(napi_env env, napi_callback_info info);
napi_value socket_close_descriptor(napi_env env, napi_callback_info info);
napi_value tcp_acknowledge(napi_env env, napi_callback_info info);
napi_value lock_file(napi_env env, napi_callback_info info);
napi_value map_file(napi_env env, napi_callback_info info);
napi_value listen_at(napi_env env, napi_callback_info info);
napi_value pipe_make(napi_env env, napi_callback_info info);
napi_value spawn_guest(napi_env env, napi_callback_info info);
napi_value diag_tcp_sockets(napi_env env, napi_callback_info info);
napi_value connector_binding_open(napi_env env, napi_callback_info info);

struct im_connector;
/* The connector behind an object of openConnector; NULL when it is none, or closed. */
struct im_connector *connector_binding_of(napi_env env, napi_value object);
napi_value data_port_open(napi_env env, napi_callback_info info);
napi_value exposed_clients_make(napi_env env, napi_callback_info info);

#endif
