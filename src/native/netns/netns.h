/*
 * The network program of the local platform: makes and holds network namespaces, and lets programs into them. Linux
 * only,
 * static, no library. It knows links, addresses and sockets; which of them there are is the platform's business
 * (src/local/network).
 *
 *   main.c    the command line
 *   hold.c    the platform's commands
 *   space.c   network namespaces, and what has to be done inside one
 *   links.c   links, addresses, routes, mappings: netlink
 *   filter.c  nft, as a child
 *   delay.c   holds packets back
 *   answer.c  what is said to the platform
 *
 *   network hold --control FD --answers FD NAME
 *       The end of the control descriptor is the platform's end: this process ends, and with it every namespace that
 *       nobody is
 *       in any more. NAME tells platforms apart, for who looks at the processes of the machine.
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
#ifndef IMAGINARY_NETWORK_H
#define IMAGINARY_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MESSAGE_SIZE 1024
#define MAX_SPACES 16384

struct space {
  int fd;    /* the namespace; -1: there is none */
  int links; /* an rtnetlink socket in it */
};

/* Set by whoever fails last. */
extern char failure[MESSAGE_SIZE];
/* Sets `failure` from a format and, with error != 0, what errno it was. Returns false. */
bool fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* space.c */
bool become_holder(bool *user);
struct space *find_space(const char *number);
bool make_space(const char *number, char *path, size_t size);
void close_space(struct space *space);
/*
 * Runs it on a thread that is in the namespace: the process itself stays where it is, and may not be allowed to return.
 */
bool inside(const struct space *space, bool (*run)(void *), void *argument);
bool listen_inside(const struct space *space, const char *address, const char *port, int *fd);
bool dial_inside(const struct space *space, const char *address, const char *port, int *fd);

/* links.c */
bool add_links(const struct space *a, const char *a_name, const struct space *b, const char *b_name);
bool set_up(const struct space *space, const char *name, unsigned queue);
bool set_forwarding(const struct space *space, const char *name);
bool change_address(const struct space *space, bool add, const char *name, const char *address);
bool change_route(const struct space *space, bool add, const char *destination, const char *name, const char *gateway,
                  unsigned table);
/* Packets that came in by `name` are routed by that table. */
bool change_rule(const struct space *space, bool add, unsigned priority, const char *name, unsigned table);
bool forget_mappings(const struct space *space);

/* filter.c: runs by itself; its descriptor ends when it has ended, and then the result is to be taken. */
struct filter {
  int pid;
  int output;
};
bool start_filter(const struct space *space, const char *text, struct filter *filter);
bool finish_filter(struct filter *filter);

/* delay.c */
bool set_delay(struct space *space, const char *microseconds);

/* hold.c: until the platform's end. */
int hold(int control, int answers);

/* answer.c */
void answer_ready(int fd, bool user);
void answer_done(int fd, const char *id);
void answer_path(int fd, const char *id, const char *path);
void answer_failed(int fd, const char *id); /* id NULL: no command's */
void answer_socket(int fd, const char *id, int socket);

#endif
