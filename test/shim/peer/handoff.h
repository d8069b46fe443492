/*
 * Connections as supervisors carry them (src/native/connector): each host of the peer's cluster has a connector, and
 * the two ends of a connection are a pair that the peer makes, because connectors meet through networks that are not
 * here.
 */
#ifndef IMAGINARY_TEST_HANDOFF_H
#define IMAGINARY_TEST_HANDOFF_H

#include "cluster.h"

void handoff_start(struct cluster *cluster);

/* The connector is to know what `host` listens on. */
void handoff_listeners(struct host *host);

/* A connection from one host to another that stands ready. */
void handoff_pool(struct host *from, struct host *to);

/* As the supervisor of `host` answers at once: true, and `reply` is closed. */
bool handoff_answer(struct host *host, struct im_request *request, int reply);

/* Gives a guest one that stood ready, and has been reset meanwhile. */
void handoff_dead(const struct host *to, int reply);

/* Gives one end to the guest that asks, and delivers the other one. */
void handoff_connect(struct host *from, struct host *to, const struct im_request *request, int reply);

#endif
