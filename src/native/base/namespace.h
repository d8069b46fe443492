/* Namespaces, by their files in /proc. False: see fail.h. */
#ifndef IMAGINARY_NAMESPACE_H
#define IMAGINARY_NAMESPACE_H

#include <stdbool.h>
#include <sys/types.h>

/* `kind`: as for setns(2). */
bool namespace_join(const char *path, int kind);
/* One user and one group of the new user namespace of that process, and the ones outside that they are. */
bool namespace_map(pid_t pid, uid_t uid, uid_t outside_uid, gid_t gid, gid_t outside_gid);

#endif
