/* exposedClients: relay/clients.h for JavaScript. */
#include "data_port.h"

static const napi_type_tag tag = {0x5b1c9f02d7e84a61u, 0x93f60a7c18d2e5b4u};

struct im_clients *exposed_clients_of(napi_env env, napi_value value) {
  bool is = false;
  void *clients = NULL;
  napi_valuetype type;
  if (napi_typeof(env, value, &type) != napi_ok || type != napi_object) return NULL;
  if (napi_check_object_type_tag(env, value, &tag, &is) == napi_ok && is &&
      napi_unwrap(env, value, &clients) == napi_ok)
    return clients;
  return NULL;
}

/* Of a method: an address, and the time (milliseconds) where there are two. NULL: thrown. */
static struct im_clients *arguments_of(napi_env env, napi_callback_info info, size_t count, uint32_t *address,
                                       double *now) {
  napi_value self, arguments[2];
  size_t given = 2;
  struct im_clients *clients = NULL;
  if (napi_get_cb_info(env, info, &given, arguments, &self, NULL) == napi_ok) clients = exposed_clients_of(env, self);
  if (clients && given >= count && (count < 1 || napi_get_value_uint32(env, arguments[0], address) == napi_ok) &&
      (count < 2 || napi_get_value_double(env, arguments[1], now) == napi_ok))
    return clients;
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "of exposedClients: an address, and the time");
  return NULL;
}

static napi_value reason(napi_env env, enum im_refusal refusal) {
  napi_value result = NULL;
  if (refusal == IM_ALLOWED) return util_undefined(env);
  napi_create_string_utf8(env, clients_reason(refusal), NAPI_AUTO_LENGTH, &result);
  return result;
}

static napi_value allows(napi_env env, napi_callback_info info) {
  uint32_t address;
  napi_value result = NULL;
  const struct im_clients *clients = arguments_of(env, info, 1, &address, NULL);
  if (clients) napi_get_boolean(env, clients_list(clients, address), &result);
  return result;
}

static napi_value connects(napi_env env, napi_callback_info info) {
  uint32_t address;
  double now;
  struct im_clients *clients = arguments_of(env, info, 2, &address, &now);
  return clients ? reason(env, clients_connect(clients, address, now)) : NULL;
}

static napi_value allocates(napi_env env, napi_callback_info info) {
  uint32_t address;
  double now;
  struct im_clients *clients = arguments_of(env, info, 2, &address, &now);
  return clients ? reason(env, clients_allocate(clients, address, now)) : NULL;
}

static napi_value leaves(napi_env env, napi_callback_info info) {
  uint32_t address;
  struct im_clients *clients = arguments_of(env, info, 1, &address, NULL);
  if (clients) clients_leave(clients, address);
  return clients ? util_undefined(env) : NULL;
}

static napi_value size(napi_env env, napi_callback_info info) {
  napi_value result = NULL;
  struct im_clients *clients = arguments_of(env, info, 0, NULL, NULL);
  if (clients) napi_create_double(env, (double)clients_size(clients), &result);
  return result;
}

static void release(napi_env env, void *clients, void *hint) {
  (void)env, (void)hint;
  clients_release(clients);
}

static bool add_methods(napi_env env, napi_value object) {
  static const struct {
    const char *name;
    napi_callback callback;
  } methods[] = {
      {"allows", allows}, {"connects", connects}, {"allocates", allocates}, {"leaves", leaves}, {"size", size}};
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
    if (!util_export(env, object, methods[i].name, methods[i].callback)) return false;
  return true;
}

/* A Uint32Array. */
static bool numbers_of(napi_env env, napi_value value, uint32_t **numbers, size_t *count) {
  napi_typedarray_type type;
  return napi_get_typedarray_info(env, value, &type, count, (void **)numbers, NULL, NULL) == napi_ok &&
         type == napi_uint32_array;
}

napi_value exposed_clients_make(napi_env env, napi_callback_info info) {
  napi_value arguments[2], object;
  uint32_t *blocks, *most;
  size_t blocks_count, most_count;
  if (!util_arguments(env, info, arguments, 2, "exposedClients(blocks, most)")) return NULL;
  if (!numbers_of(env, arguments[0], &blocks, &blocks_count) || blocks_count % 2 ||
      !numbers_of(env, arguments[1], &most, &most_count) || most_count != 3) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "exposedClients(blocks, most: Uint32Array)");
    return NULL;
  }
  struct im_client_rules rules = {(const struct im_block *)blocks, blocks_count / 2, most[0], most[1], most[2]};
  struct im_clients *clients = clients_new(&rules);
  if (clients && napi_create_object(env, &object) == napi_ok && add_methods(env, object) &&
      napi_type_tag_object(env, object, &tag) == napi_ok &&
      napi_wrap(env, object, clients, release, NULL, NULL) == napi_ok)
    return object;
  clients_release(clients);
  napi_throw_error(env, "ENOMEM", "exposedClients");
  return NULL;
}
