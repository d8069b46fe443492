/*
 * Network interfaces as a guest sees them: `lo`, and one with the host's virtual address and the cluster's netmask. The
 * second has the name and the hardware address of a real interface, where there is one.
 */
#ifndef IMAGINARY_INTERFACES_H
#define IMAGINARY_INTERFACES_H

#include <ifaddrs.h>

/* As getifaddrs. The list is one block of memory. */
int interfaces_list(struct ifaddrs **list);
void interfaces_free(struct ifaddrs *list);

/* As ioctl, for the requests of SIOCGIF*. */
int interfaces_ioctl(int fd, unsigned long request, void *argument);

#endif
