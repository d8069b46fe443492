/*
 * Descriptors that the shim needs for a moment, when the guest has used up its limit. The kernel's soft limit stays
 * below its hard one, and is raised for that moment.
 */
#ifndef IMAGINARY_ROOM_H
#define IMAGINARY_ROOM_H

#include <stdbool.h>
#include <sys/resource.h>

/* At the start of a process: leaves room where there is none. */
void room_start_of_process(void);

/* Between these two there is room, if there is any at all. They nest, and every thread has its own pair. */
void room_open(void);
void room_close(void);

bool room_is_open(void);

/* Whether another connect may wait there, and leave enough for those that do. Any descriptor serves to try it. */
bool room_left(int fd);

/* In the child of a fork: as if no thread had opened it. */
void room_after_fork(void);

/* Whether the errno is that of a call without room. */
bool room_wanted(int error);

/*
 * The guest's limits of RLIMIT_NOFILE: `set` gives the kernel a greater hard limit than the guest's where it has one,
 * and a lower soft limit where it has none. `shown` makes the guest's limits of the kernel's.
 */
int room_set(const struct rlimit *limit);
void room_shown(struct rlimit *limit);

#endif
