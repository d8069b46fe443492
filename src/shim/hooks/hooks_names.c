#include "hook.h"
#include "names/names.h"

HOOK(int, getaddrinfo,
     (const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **result)) {
  return names_getaddrinfo(name, service, hints, result);
}

HOOK(int, getnameinfo,
     (const struct sockaddr *address, socklen_t size, char *host, socklen_t host_size, char *service,
      socklen_t service_size, int flags)) {
  return names_getnameinfo(address, size, host, host_size, service, service_size, flags);
}

#ifdef __GLIBC__
HOOK(int, getaddrinfo_a, (int mode, struct gaicb *list[], int count, struct sigevent *event)) {
  return names_getaddrinfo_a(mode, list, count, event);
}
#endif

HOOK(struct hostent *, gethostbyname, (const char *name)) {
  int ours;
  struct hostent *entry = names_by_name(name, AF_INET, &ours);
  return ours ? entry : libc_gethostbyname(name);
}

HOOK(struct hostent *, gethostbyname2, (const char *name, int family)) {
  int ours;
  struct hostent *entry = names_by_name(name, family, &ours);
  return ours ? entry : libc_gethostbyname2(name, family);
}

HOOK(int, gethostbyname_r,
     (const char *name, struct hostent *entry, char *buffer, size_t size, struct hostent **result, int *error)) {
  int ours, failure = names_by_name_r(name, AF_INET, entry, buffer, size, result, error, &ours);
  return ours ? failure : libc_gethostbyname_r(name, entry, buffer, size, result, error);
}

HOOK(int, gethostbyname2_r,
     (const char *name, int family, struct hostent *entry, char *buffer, size_t size, struct hostent **result,
      int *error)) {
  int ours, failure = names_by_name_r(name, family, entry, buffer, size, result, error, &ours);
  return ours ? failure : libc_gethostbyname2_r(name, family, entry, buffer, size, result, error);
}

HOOK(struct hostent *, gethostbyaddr, (const void *address, socklen_t size, int family)) {
  int ours;
  struct hostent *entry = names_by_address(address, size, family, &ours);
  return ours ? entry : libc_gethostbyaddr(address, size, family);
}

HOOK(int, gethostbyaddr_r,
     (const void *address, socklen_t length, int family, struct hostent *entry, char *buffer, size_t size,
      struct hostent **result, int *error)) {
  int ours, failure = names_by_address_r(address, length, family, entry, buffer, size, result, error, &ours);
  return ours ? failure : libc_gethostbyaddr_r(address, length, family, entry, buffer, size, result, error);
}
