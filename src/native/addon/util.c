#define _GNU_SOURCE
#include "util.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *errno_name(int error) {
  switch (error) { /* strerrorname_np() is newer than the oldest libc we load in */
  case EACCES: return "EACCES";
  case EADDRINUSE: return "EADDRINUSE";
  case EADDRNOTAVAIL: return "EADDRNOTAVAIL";
  case EAGAIN: return "EAGAIN";
  case EBADF: return "EBADF";
  case EEXIST: return "EEXIST";
  case EFBIG: return "EFBIG";
  case EINVAL: return "EINVAL";
  case EIO: return "EIO";
  case EISDIR: return "EISDIR";
  case ELOOP: return "ELOOP";
  case EMFILE: return "EMFILE";
  case ENAMETOOLONG: return "ENAMETOOLONG";
  case ENFILE: return "ENFILE";
  case ENOBUFS: return "ENOBUFS";
  case ENODEV: return "ENODEV";
  case ENOENT: return "ENOENT";
  case ENOMEM: return "ENOMEM";
  case ENOSPC: return "ENOSPC";
  case ENOTDIR: return "ENOTDIR";
  case ENXIO: return "ENXIO";
  case EPERM: return "EPERM";
  case EROFS: return "EROFS";
  default: return "EUNKNOWN";
  }
}

static void set_string(napi_env env, napi_value object, const char *name, const char *text) {
  napi_value value;
  if (napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value) == napi_ok) {
    napi_set_named_property(env, object, name, value);
  }
}

void util_throw_errno(napi_env env, int error, const char *syscall, const char *path) {
  char message[IM_PATH_MAX + 256];
  snprintf(message, sizeof message, "%s: %s, %s%s%s%s", errno_name(error), strerror(error), syscall, path ? " '" : "",
           path ? path : "", path ? "'" : "");
  napi_value code, text, object, number;
  if (napi_create_string_utf8(env, errno_name(error), NAPI_AUTO_LENGTH, &code) != napi_ok ||
      napi_create_string_utf8(env, message, NAPI_AUTO_LENGTH, &text) != napi_ok ||
      napi_create_error(env, code, text, &object) != napi_ok) {
    napi_throw_error(env, errno_name(error), message);
    return;
  }
  if (napi_create_int32(env, -error, &number) == napi_ok) napi_set_named_property(env, object, "errno", number);
  set_string(env, object, "syscall", syscall);
  if (path) set_string(env, object, "path", path);
  napi_throw(env, object);
}

bool util_arguments(napi_env env, napi_callback_info info, napi_value *values, size_t count, const char *usage) {
  size_t given = count;
  if (napi_get_cb_info(env, info, &given, values, NULL, NULL) == napi_ok && given >= count) return true;
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", usage);
  return false;
}

bool util_path(napi_env env, napi_value value, char path[IM_PATH_MAX]) {
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, path, IM_PATH_MAX, &length) == napi_ok && length > 0 &&
      length < IM_PATH_MAX - 1 && strlen(path) == length) {
    return true;
  }
  napi_throw_type_error(env, "ERR_INVALID_ARG_VALUE", "expected a path");
  return false;
}

bool util_fd(napi_env env, napi_value value, int *fd) {
  int32_t number = -1;
  if (napi_get_value_int32(env, value, &number) == napi_ok && number >= 0) {
    *fd = number;
    return true;
  }
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "expected a descriptor");
  return false;
}

napi_value util_undefined(napi_env env) {
  napi_value value = NULL;
  napi_get_undefined(env, &value);
  return value;
}

bool util_export(napi_env env, napi_value exports, const char *name, napi_callback callback) {
  napi_value function;
  return napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, NULL, &function) == napi_ok &&
         napi_set_named_property(env, exports, name, function) == napi_ok;
}
