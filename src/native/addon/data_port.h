/* The object of openDataPort, for the files that have its methods. */
#ifndef IMAGINARY_DATA_PORT_H
#define IMAGINARY_DATA_PORT_H

#include "relay/relay.h"
#include "util.h"

/* The relay behind `this`; NULL: it is closed, or there are fewer than `count` arguments. */
struct im_relay *data_port_relay(napi_env env, napi_callback_info info, napi_value *arguments, size_t count);
/* False: it is none, and that is thrown. */
bool data_port_number(napi_env env, napi_value value, uint32_t *number);
/* A method that does something with one number, and answers whether it has. */
napi_value data_port_act(napi_env env, napi_callback_info info, bool (*act)(struct im_relay *, uint32_t));
/* False: it is no token. */
bool data_port_token(napi_env env, napi_value value, unsigned char **bytes);

/* ---- callers.c: clients from outside ---- */

bool data_port_describe_caller(napi_env env, napi_value object, const struct im_relay_event *event);
/* clients.c: what exposedClients made; NULL: it is none. */
struct im_clients *exposed_clients_of(napi_env env, napi_value value);

napi_value data_port_accept(napi_env env, napi_callback_info info);
napi_value data_port_lead(napi_env env, napi_callback_info info);
napi_value data_port_hear(napi_env env, napi_callback_info info);
napi_value data_port_refuse(napi_env env, napi_callback_info info);
napi_value data_port_take(napi_env env, napi_callback_info info);
napi_value data_port_adopt(napi_env env, napi_callback_info info);
napi_value data_port_admit(napi_env env, napi_callback_info info);
napi_value data_port_connect(napi_env env, napi_callback_info info);

#endif
