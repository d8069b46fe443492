#define _GNU_SOURCE
#include "cluster.h"

#include "handoff.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define NAMES 128
#define PORTS (MAX_HOSTS * MAX_PORTS)
#define STRINGS 8192

struct file {
  struct im_table_header header;
  struct im_host hosts[MAX_HOSTS];
  struct im_name names[NAMES];
  struct im_port ports[PORTS];
  char strings[STRINGS];
};

void die(const char *what) {
  perror(what);
  exit(1);
}

static void *map_file(const char *path, size_t size) {
  int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0 || ftruncate(fd, (off_t)size) != 0) die(path);
  void *map = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (map == MAP_FAILED) die(path);
  close(fd);
  return map;
}

static uint32_t add_string(struct file *file, const char *text) {
  uint32_t at = file->header.strings_size;
  memcpy(file->strings + at, text, strlen(text) + 1);
  file->header.strings_size += (uint32_t)strlen(text) + 1;
  return at;
}

static void add_name(struct file *file, uint32_t string, uint32_t host) {
  uint32_t hash = 2166136261u;
  for (const char *c = file->strings + string; *c; c++) hash = (hash ^ (unsigned char)*c) * 16777619u;
  uint32_t slot = hash & (NAMES - 1);
  while (file->names[slot].name) slot = (slot + 1) & (NAMES - 1);
  file->names[slot] = (struct im_name){hash, string, host, 0};
}

static void fill(struct cluster *cluster, struct host *self) {
  struct file *file = (struct file *)self->table;
  file->header = (struct im_table_header){.magic = IM_TABLE_MAGIC,
                                          .version = IM_VERSION,
                                          .file_size = sizeof *file,
                                          .cidr_base = cluster->base,
                                          .cidr_prefix = 16,
                                          .self = self->address,
                                          .alias_base = cluster->alias_base,
                                          .alias_loop = cluster->alias_loop,
                                          .hosts_offset = offsetof(struct file, hosts),
                                          .hosts_count = cluster->count,
                                          .names_offset = offsetof(struct file, names),
                                          .names_capacity = NAMES,
                                          .ports_offset = offsetof(struct file, ports),
                                          .ports_capacity = PORTS,
                                          .strings_offset = offsetof(struct file, strings),
                                          .strings_size = 1,
                                          .handoff = cluster->handoff};
  for (uint32_t i = 0; i < cluster->count; i++) {
    struct host *host = &cluster->hosts[i];
    char text[256];
    uint32_t name = add_string(file, host->name);
    if (host == self) file->header.hostname = name;
    file->hosts[i] = (struct im_host){.address = host->address, .name = name, .node_id = i + 1};
    add_name(file, name, i);
    snprintf(text, sizeof text, "%s.test", host->name);
    add_name(file, add_string(file, text), i);
    snprintf(text, sizeof text, "node-%u", i + 1);
    add_name(file, add_string(file, text), i);
  }
  file->header.strings_size = STRINGS; /* the rest is NUL */
}

static int open_socket(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (strlen(path) >= sizeof address.sun_path) die("path of the socket is too long");
  strcpy(address.sun_path, path);
  unlink(path);
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0) die(path);
  return fd;
}

static int by_address(const void *left, const void *right) {
  uint32_t a = ((const struct host *)left)->address, b = ((const struct host *)right)->address;
  return a < b ? -1 : a > b;
}

void cluster_create(struct cluster *cluster, const char *root) {
  qsort(cluster->hosts, cluster->count, sizeof cluster->hosts[0], by_address);
  for (unsigned i = 0; i < cluster->count; i++) {
    struct host *host = &cluster->hosts[i];
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", root, host->name);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/%s/" IM_TABLE_FILE, root, host->name);
    host->table = map_file(path, sizeof(struct file));
    fill(cluster, host);
    snprintf(path, sizeof path, "%s/%s/" IM_SOCKETS_FILE, root, host->name);
    munmap(map_file(path, IM_SOCKETS_SIZE), IM_SOCKETS_SIZE);
    snprintf(path, sizeof path, "%s/%s/" IM_SHIM_SOCKET, root, host->name);
    host->socket = open_socket(path);
  }
  cluster_publish(cluster);
}

static int by_port(const void *left, const void *right) {
  const struct im_port *a = left, *b = right;
  return a->address != b->address ? (a->address < b->address ? -1 : 1) : (int)a->port - (int)b->port;
}

static void publish(struct cluster *cluster, struct host *self) {
  struct file *file = (struct file *)self->table;
  uint32_t count = 0;
  __atomic_store_n(&file->header.seq, file->header.seq + 1, __ATOMIC_RELAXED);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  for (unsigned i = 0; i < cluster->count; i++) {
    struct host *host = &cluster->hosts[i];
    for (unsigned p = 0; p < host->ports_count; p++) {
      struct port *port = &host->ports[p];
      if (port->scope % IM_SCOPE_DATAGRAM >= IM_SCOPE_LOOPBACK && host != self) continue;
      file->ports[count++] = (struct im_port){port->address ? port->address : host->address, port->port,
                                              port->real_port, port->real, port->scope};
    }
    file->hosts[i].epoch = host->epoch;
    file->hosts[i].real = cluster->alias_base | (host->address & 0xffff);
    uint32_t up = cluster->handoff ? IM_HANDOFF : IM_DIRECT;
    file->hosts[i].state = (host->manual ? host->up : host->ports_count) ? up : IM_LOCATE;
  }
  qsort(file->ports, count, sizeof file->ports[0], by_port);
  file->header.ports_count = count;
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  __atomic_store_n(&file->header.seq, file->header.seq + 1, __ATOMIC_RELEASE);
}

void cluster_publish(struct cluster *cluster) {
  for (unsigned i = 0; i < cluster->count; i++) handoff_listeners(&cluster->hosts[i]);
  for (unsigned i = 0; i < cluster->count; i++) publish(cluster, &cluster->hosts[i]);
}
