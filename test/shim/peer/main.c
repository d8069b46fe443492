/*
 * Stands in the supervisors' place for tests of the shim alone: one process with the tables and sockets of several
 * hosts in network `flat`. It speaks abi.h and nothing else.
 *
 *   peer ROOT FLAT [handoff] NAME=ADDRESS...
 *
 * Run directories are ROOT/NAME; real addresses 127.FLAT.c.d, 127.(FLAT+1).c.d. `handoff`: hosts do not reach each
 * other.
 *
 * Commands on standard input, one line each, answered by one line on standard output:
 *   ask NAME | direct NAME | auto NAME   what the tables say about where NAME is (direct: or handoff)
 *   ready NAME | unready NAME            connections to NAME stand ready | there is none (network `handoff`)
 *   dead NAME | undead NAME              connections to NAME that stood ready have ended | none has (network `handoff`)
 *   doomed NAME | saved NAME             all have, until a request says that NAME's epoch did not work | none has
 *   hold NAME | go NAME                  leave connects to NAME unanswered | answer them
 *   settled NAME | unsettled NAME        refuse ports that NAME does not listen on | wait for them
 *   fail NAME ERRNO                      answer connects to NAME with this errno (0: no more)
 *   trouble NAME none|silent|garbage     answer as a broken supervisor would
 *   list NAME PORT REALPORT              list a port on which nobody has to listen
 *   unlist NAME PORT                     as if the guest had closed the listener
 *   bump NAME                            a new epoch
 *   odd NAME | even NAME                 leave NAME's table as a writer that died would | put it right
 *   stats                                JSON
 */
#define _GNU_SOURCE
#include "connector/held.h"
#include "handoff.h"
#include "cluster.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct waiting {
  struct waiting *next;
  struct host *from;
  struct im_request request;
  int reply; /* of a datagram: the guest's socket */
  size_t size;
  char data[];
};

static struct cluster cluster = {.base = 0x64400000};
static struct waiting *waiting;
static unsigned connects, listens, stales, logs;

static struct host *by_name(const char *name) {
  for (unsigned i = 0; i < cluster.count; i++)
    if (!strcmp(cluster.hosts[i].name, name)) return &cluster.hosts[i];
  return 0;
}

static struct host *at_address(uint32_t address) {
  for (unsigned i = 0; i < cluster.count; i++)
    if (cluster.hosts[i].address == address) return &cluster.hosts[i];
  return 0;
}

static void answer(int fd, int status, const struct port *port, const struct host *host) {
  struct im_reply reply = {.magic = IM_REPLY_MAGIC, .status = status, .transport = IM_TRANSPORT_DIRECT};
  if (port) {
    reply.real = port->real;
    reply.real_port = port->real_port;
  }
  if (host) reply.epoch = host->epoch;
  if (host && host->trouble == 'g') reply.magic = 0x12345678;
  if (!host || host->trouble != 's') send(fd, &reply, sizeof reply, MSG_NOSIGNAL | MSG_DONTWAIT);
  close(fd);
}

static void send_from(const struct waiting *one, const struct port *port) {
  struct im_held held = {.real = port->real,
                         .real_port = port->real_port,
                         .source = one->request.real,
                         .source_port = one->request.real_port,
                         .marks = one->request.scope};
  if (!held_send(one->reply, one->data, one->size, &held)) perror("a held datagram");
}

/* A datagram waits for its port, whatever else a host says. */
static bool try_send(const struct waiting *one, const struct host *host) {
  if (!host || host->hold) return !host;
  for (unsigned i = 0; i < host->ports_count; i++) {
    const struct port *port = &host->ports[i];
    if (port->port != one->request.port || port->scope != (IM_SCOPE_ANY | IM_SCOPE_DATAGRAM)) continue;
    send_from(one, port);
    close(one->reply);
    return true;
  }
  return false;
}

static bool try_answer(struct waiting *one) {
  struct host *host = at_address(one->request.address);
  if (one->request.op == IM_OP_DATAGRAM) return try_send(one, host);
  if (!host) return answer(one->reply, EHOSTUNREACH, 0, 0), true;
  if (host->hold) return false;
  if (host->trouble) return answer(one->reply, 0, 0, host), true;
  if (host->error) return answer(one->reply, host->error, 0, host), true;
  for (unsigned i = 0; i < host->ports_count; i++)
    if (host->ports[i].port == one->request.port && host->ports[i].scope < IM_SCOPE_LOOPBACK) {
      if (cluster.handoff)
        handoff_connect(one->from, host, &one->request, one->reply);
      else
        answer(one->reply, 0, &host->ports[i], host);
      return true;
    }
  if (host->settled) return answer(one->reply, ECONNREFUSED, 0, host), true;
  return false;
}

static void try_all(void) {
  for (struct waiting **at = &waiting; *at;) {
    struct waiting *one = *at;
    if (try_answer(one)) {
      *at = one->next;
      free(one);
    } else
      at = &one->next;
  }
}

static void list_port(struct host *host, struct port port) {
  unsigned i = 0;
  while (i < host->ports_count && (host->ports[i].port != port.port || host->ports[i].real != port.real ||
                                   host->ports[i].scope != port.scope || host->ports[i].address != port.address))
    i++;
  if (i == MAX_PORTS) return;
  host->ports[i] = port;
  if (i == host->ports_count) host->ports_count++;
  cluster_publish(&cluster);
}

/* With what stands ready, and what was delivered. */
static bool answered(struct host *host, struct im_request *request, int reply) {
  struct host *to = request->op == IM_OP_CONNECT ? at_address(request->address) : 0;
  if (to && to->ready && request->flags & IM_FLAG_LISTED) handoff_pool(host, to);
  if (to && ((to->dead && request->flags & IM_FLAG_LISTED) || (to->doomed && request->epoch != to->epoch))) {
    connects++;
    return handoff_dead(to, reply), true;
  }
  if (!handoff_answer(host, request, reply)) return false;
  if (request->op == IM_OP_CONNECT) connects++;
  return true;
}

static void on_request(struct host *host, struct im_request *request, int reply, const char *data, size_t size) {
  if (cluster.handoff && answered(host, request, reply)) return;
  if ((request->op == IM_OP_CONNECT || request->op == IM_OP_DATAGRAM) && reply >= 0) {
    struct waiting *one = malloc(sizeof *one + size);
    *one = (struct waiting){waiting, host, *request, reply, size};
    memcpy(one->data, data, size);
    waiting = one;
    connects++;
    try_all();
    return;
  }
  if (request->op == IM_OP_LISTEN) {
    listens++;
    list_port(host, (struct port){request->port, request->real_port, request->real, request->scope,
                                  request->address >> 24 == 127 ? request->address : 0});
    if (reply >= 0) answer(reply, 0, 0, host);
    try_all();
    return;
  }
  if (request->op == IM_OP_STALE) stales++;
  if (request->op == IM_OP_LOG) logs++;
  if (reply >= 0) close(reply);
}

static void receive(struct host *host) {
  for (;;) {
    static struct {
      struct im_request request;
      char data[66000];
    } all_of_it;
    struct im_request request;
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec text = {&all_of_it, sizeof all_of_it};
    struct msghdr all = {.msg_iov = &text, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t size = recvmsg(host->socket, &all, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (size < 0) return;
    int reply = -1;
    request = all_of_it.request;
    struct cmsghdr *header = CMSG_FIRSTHDR(&all);
    if (header && header->cmsg_type == SCM_RIGHTS) memcpy(&reply, CMSG_DATA(header), sizeof reply);
    if (size >= (ssize_t)sizeof request && request.magic == IM_REQUEST_MAGIC && request.version == IM_VERSION)
      on_request(host, &request, reply, all_of_it.data, (size_t)size - sizeof request);
    else if (reply >= 0)
      close(reply);
  }
}

/* Those who gave up have closed their end. */
static unsigned count_waiting(void) {
  unsigned count = 0;
  for (struct waiting **at = &waiting; *at;) {
    struct waiting *one = *at;
    struct pollfd gone = {.fd = one->reply};
    if (poll(&gone, 1, 0) == 1 && gone.revents & (POLLHUP | POLLERR)) {
      *at = one->next;
      close(one->reply);
      free(one);
    } else {
      count++;
      at = &one->next;
    }
  }
  return count;
}

static void on_command(char *line) {
  char verb[32] = "", name[64] = "", value[32] = "", more[32] = "";
  sscanf(line, "%31s %63s %31s %31s", verb, name, value, more);
  struct host *host = by_name(name);
  if (!strcmp(verb, "stats")) {
    printf("{\"connects\":%u,\"listens\":%u,\"stales\":%u,\"logs\":%u,\"waiting\":%u}\n", connects, listens, stales,
           logs, count_waiting());
    fflush(stdout);
    return;
  }
  if (!host) {
    printf("no host '%s'\n", name);
    fflush(stdout);
    return;
  }
  if (!strcmp(verb, "ask")) host->manual = true, host->up = false;
  if (!strcmp(verb, "direct")) host->manual = true, host->up = true;
  if (!strcmp(verb, "auto")) host->manual = false;
  if (!strcmp(verb, "ready")) host->ready = true;
  if (!strcmp(verb, "unready")) host->ready = false;
  if (!strcmp(verb, "dead")) host->dead = true;
  if (!strcmp(verb, "undead")) host->dead = false;
  if (!strcmp(verb, "doomed")) host->doomed = true;
  if (!strcmp(verb, "saved")) host->doomed = false;
  if (!strcmp(verb, "hold")) host->hold = true;
  if (!strcmp(verb, "go")) host->hold = false;
  if (!strcmp(verb, "settled")) host->settled = true;
  if (!strcmp(verb, "unsettled")) host->settled = false;
  if (!strcmp(verb, "fail")) host->error = atoi(value);
  if (!strcmp(verb, "trouble")) host->trouble = value[0] == 'n' ? 0 : value[0];
  if (!strcmp(verb, "bump")) host->epoch++;
  if (!strcmp(verb, "list"))
    list_port(host, (struct port){(uint16_t)atoi(value), (uint16_t)atoi(more),
                                  cluster.alias_base | (host->address & 0xffff), IM_SCOPE_ANY, 0});
  if (!strcmp(verb, "unlist"))
    for (unsigned i = 0; i < host->ports_count; i++)
      if (host->ports[i].port == atoi(value)) host->ports[i--] = host->ports[--host->ports_count];
  if (!strcmp(verb, "odd") || !strcmp(verb, "even"))
    host->table->seq = (host->table->seq & ~1u) | (verb[0] == 'o');
  else
    cluster_publish(&cluster);
  try_all();
  puts("ok");
  fflush(stdout);
}

int main(int argc, char **argv) {
  if (argc < 4) return fprintf(stderr, "usage: peer ROOT FLAT [handoff] NAME=ADDRESS...\n"), 2;
  uint32_t flat = (uint32_t)atoi(argv[2]);
  cluster.alias_base = 127u << 24 | flat << 16;
  cluster.alias_loop = 127u << 24 | (flat + 1) << 16;
  cluster.handoff = !strcmp(argv[3], "handoff");
  for (int i = 3 + cluster.handoff; i < argc && cluster.count < MAX_HOSTS; i++) {
    char *address = strchr(argv[i], '=');
    *address++ = 0;
    cluster.hosts[cluster.count++] = (struct host){.name = argv[i], .address = ntohl(inet_addr(address)), .epoch = 1};
  }
  cluster_create(&cluster, argv[1]);
  if (cluster.handoff) handoff_start(&cluster);
  puts("ready");
  fflush(stdout);
  char lines[4096];
  size_t length = 0;
  for (;;) {
    struct pollfd wanted[MAX_HOSTS + 1] = {{.fd = 0, .events = POLLIN}};
    for (unsigned i = 0; i < cluster.count; i++)
      wanted[i + 1] = (struct pollfd){.fd = cluster.hosts[i].socket, .events = POLLIN};
    if (poll(wanted, cluster.count + 1, -1) < 0 && errno != EINTR) die("poll");
    for (unsigned i = 0; i < cluster.count; i++)
      if (wanted[i + 1].revents) receive(&cluster.hosts[i]);
    if (!wanted[0].revents) continue;
    ssize_t size = read(0, lines + length, sizeof lines - 1 - length);
    if (size <= 0) return 0;
    length += (size_t)size;
    lines[length] = 0;
    for (char *end; (end = strchr(lines, '\n'));) {
      *end = 0;
      on_command(lines);
      length -= (size_t)(end + 1 - lines);
      memmove(lines, end + 1, length + 1);
    }
  }
}
