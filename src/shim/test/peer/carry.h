/*
 * Connections as supervisors carry them (src/native/carrier): each host of the peer's cluster has a carrier, and the two
 * ends of a connection are a pair that the peer makes, because carriers meet through networks that are not here.
 */
#ifndef IMAGINARY_TEST_CARRY_H
#define IMAGINARY_TEST_CARRY_H

#include "cluster.h"

void carry_start(struct cluster *cluster);

/* The carrier is to know what `host` listens on. */
void carry_listeners(struct host *host);

/* A connection from one host to another that stands ready. */
void carry_pool(struct host *from, struct host *to);

/* As the supervisor of `host` answers at once: true, and `reply` is closed. */
bool carry_answer(struct host *host, struct im_request *request, int reply);

/* Gives a guest one that stood ready, and has been reset meanwhile. */
void carry_dead(const struct host *to, int reply);

/* Gives one end to the guest that asks, and delivers the other one. */
void carry_connect(struct host *from, struct host *to, const struct im_request *request, int reply);

#endif
