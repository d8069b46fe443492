/* Name service for the cluster's names and addresses. Anything else is libc's. */
#ifndef IMAGINARY_NAMES_H
#define IMAGINARY_NAMES_H

#include "core/libc.h"

int names_getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **result);

int names_getnameinfo(const struct sockaddr *address, socklen_t size, char *host, socklen_t host_size, char *service,
                      socklen_t service_size, int flags);

#ifdef __GLIBC__
int names_getaddrinfo_a(int mode, struct gaicb *list[], int count, struct sigevent *event);
#endif

/* The result, or NULL with h_errno, as gethostbyname2 has it. `*ours`: the answer is not libc's. */
struct hostent *names_by_name(const char *name, int family, int *ours);
struct hostent *names_by_address(const void *address, socklen_t size, int family, int *ours);

/* The reentrant form of both: 0 or an errno; name NULL: by address. */
int names_by_name_r(const char *name, int family, struct hostent *entry, char *buffer, size_t size,
                    struct hostent **result, int *error, int *ours);
int names_by_address_r(const void *address, socklen_t length, int family, struct hostent *entry, char *buffer,
                       size_t size, struct hostent **result, int *error, int *ours);

#endif
