/* Helpers around Node-API: checked calls, arguments, errors with an errno name. Internal to the addon. */
#ifndef IMAGINARY_NATIVE_UTIL_H
#define IMAGINARY_NATIVE_UTIL_H

#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IM_PATH_MAX 4096

/* Throws an Error like those of Node.js: message, code, errno, syscall, path (may be NULL). */
void im_throw_errno(napi_env env, int error, const char *syscall, const char *path);

/* Reads `count` arguments; throws TypeError `usage` and returns false when there are fewer. */
bool im_arguments(napi_env env, napi_callback_info info, napi_value *values, size_t count, const char *usage);

/* A path: throws and returns false unless it is a string that fits and holds no NUL. */
bool im_path_argument(napi_env env, napi_value value, char path[IM_PATH_MAX]);

/* A descriptor: throws and returns false unless it is a number >= 0. */
bool im_fd_argument(napi_env env, napi_value value, int *fd);

napi_value im_undefined(napi_env env);

/* One function of the addon's exports object. */
bool im_export(napi_env env, napi_value exports, const char *name, napi_callback callback);

/* The functions themselves. */
napi_value im_open_shim_socket(napi_env env, napi_callback_info info);
napi_value im_reply(napi_env env, napi_callback_info info);
napi_value im_send_datagram(napi_env env, napi_callback_info info);
napi_value im_close_descriptor(napi_env env, napi_callback_info info);
napi_value im_lock_file(napi_env env, napi_callback_info info);
napi_value im_map_file(napi_env env, napi_callback_info info);
napi_value im_pipe(napi_env env, napi_callback_info info);
napi_value im_spawn(napi_env env, napi_callback_info info);
napi_value im_tcp_sockets(napi_env env, napi_callback_info info);
napi_value im_open_connector(napi_env env, napi_callback_info info);

struct im_connector;
/* The connector behind an object of openConnector; NULL when it is none, or closed. */
struct im_connector *im_connector_of(napi_env env, napi_value object);
napi_value im_open_data_port(napi_env env, napi_callback_info info);

#endif
