/* The state of the peer's little cluster, and the run directory of each of its hosts. */
#ifndef IMAGINARY_TEST_CLUSTER_H
#define IMAGINARY_TEST_CLUSTER_H

#include "contract/abi/abi.h"

#include <stdbool.h>

#define MAX_HOSTS 32
#define MAX_PORTS 512

struct port {
  uint16_t port, real_port;
  uint32_t real, scope;
  uint32_t address; /* 127.0.0.2 or the like; 0: the host's */
};

struct host {
  const char *name;
  uint32_t address;
  uint64_t epoch;
  bool manual;  /* `up` was set by a command; else a host that listens is */
  bool up;      /* in the tables: direct, or handoff */
  int error;    /* answer connects with this errno */
  bool ready;   /* handoff: connections to it stand ready */
  bool dead;    /* handoff: connections to it that stood ready have ended */
  bool doomed;  /* handoff: so does every connection, until a request says that its epoch did not work */
  bool hold;    /* answer no connect */
  bool settled; /* refuse ports that are not listed */
  char trouble; /* 0; 's': close the reply socket unanswered; 'g': answer garbage */
  struct port ports[MAX_PORTS];
  unsigned ports_count;
  struct im_table_header *table;
  int socket;
  struct im_connector *connector; /* hosts that do not reach each other */
};

struct cluster {
  uint32_t base, alias_base, alias_loop;
  bool handoff;
  struct host hosts[MAX_HOSTS]; /* sorted by address */
  unsigned count;
};

/* Creates ROOT/<name>/{table,sockets,shim.sock} for every host. */
void cluster_create(struct cluster *cluster, const char *root);

/* Writes locations and ports of all hosts into all tables. */
void cluster_publish(struct cluster *cluster);

void die(const char *what);

#endif
