/*
 * The commands of the program `network`, and what its files share. README.md is the map.
 *
 *   network hold --control FD --answers FD NAME
 *       The end of the control descriptor is the platform's end: this process ends, and with it every namespace that
 *       no process is in any more. NAME tells platforms apart in a list of the machine's processes.
 *   network enter NET USER COMMAND…
 *       Becomes COMMAND inside: paths of a network namespace and of its user namespace (`-`: our own).
 *   network client NAME COMMAND…
 *       Becomes COMMAND, which is killed when its parent ends, in a UTS namespace of its own with that host name
 *       (`-`: in ours).
 *
 * Commands, one line each, begin with a number that the answer bears. Namespaces (SPACE) have numbers that the
 * platform chooses.
 *   space SPACE                              a new one; the answer has its path in `path`
 *   close SPACE                              lets go of it
 *   link SPACE NAME SPACE NAME               a pair of links, both up
 *   address|no-address SPACE NAME ADDRESS/LENGTH
 *   route|no-route SPACE ADDRESS/LENGTH NAME [GATEWAY]
 *   forward SPACE NAME                       what comes in there may go on
 *   silence|no-silence SPACE NAME ADDRESS   nothing comes from that link, or goes to that address, any more
 *   filter SPACE TEXT                        what nft reads, in one line
 *   forget SPACE                             all mappings and what else connection tracking knows
 *   listen SPACE ADDRESS PORT                the answer comes with the listening socket
 *   dial SPACE ADDRESS PORT                  the answer comes with the connected socket
 *   delay SPACE MICROSECONDS                 of every packet that is routed there; 0: none
 *
 * Answers are messages as Node.js reads them from a child with an `ipc` channel: JSON, with descriptors beside it.
 *   {"id":…}   {"id":…,"path":…}   {"id":…,"error":…}
 *   and first, without a command: {"ready":true,"user":PATH or null} or {"error":…}
 */
#ifndef IMAGINARY_NETNS_H
#define IMAGINARY_NETNS_H

#include "base/fail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct im_space {
  int fd;    /* the namespace; -1: there is none */
  int links; /* an rtnetlink socket in it */
};

/* inside.c */
/*
 * Runs it on a thread that is in the namespace: the process itself stays where it is, and may not be allowed to return.
 */
bool inside_run(const struct im_space *space, bool (*run)(void *), void *argument);

/* space.c */
bool space_begin(bool *user);
struct im_space *space_find(const char *number);
bool space_make(const char *number, char *path, size_t size);
void space_close(struct im_space *space);
bool space_listen(const struct im_space *space, const char *address, const char *port, int *fd);
bool space_dial(const struct im_space *space, const char *address, const char *port, int *fd);

/* links.c */
bool links_add(const struct im_space *a, const char *a_name, const struct im_space *b, const char *b_name);
bool links_set_up(const struct im_space *space, const char *name, unsigned queue);
bool links_set_forwarding(const struct im_space *space, const char *name);
bool links_change_address(const struct im_space *space, bool add, const char *name, const char *address);
bool links_change_route(const struct im_space *space, bool add, const char *destination, const char *name,
                        const char *gateway, unsigned table);
/* Packets that came in by `name` are routed by that table. */
bool links_change_rule(const struct im_space *space, bool add, unsigned priority, const char *name, unsigned table);
/* Nothing that came in by `name` is routed any more, nor anything that goes to `address`, and nobody is told. */
bool links_silence(const struct im_space *space, bool add, const char *name, const char *address);
bool links_forget_mappings(const struct im_space *space);

/* filter.c: runs by itself; its descriptor ends when it has ended, and then the result is to be taken. */
struct im_filter {
  int pid;
  int output;
};
bool filter_start(const struct im_space *space, const char *text, struct im_filter *filter);
bool filter_finish(struct im_filter *filter);

/* delay.c */
bool delay_set(struct im_space *space, const char *microseconds);

/* hold.c: until the platform's end. */
int hold(int control, int answers);

/* answer.c */
void answer_ready(int fd, bool user);
void answer_done(int fd, const char *id);
void answer_path(int fd, const char *id, const char *path);
void answer_failed(int fd, const char *id); /* id NULL: no command's */
void answer_socket(int fd, const char *id, int socket);

#endif
