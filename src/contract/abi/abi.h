/*
 * What the shim and the supervisor share: the run directory, the table file, the request and reply datagrams.
 * `npx projen abi` writes TypeScript's view of it, generated.ts.
 *
 * All integers are in the machine's byte order; addresses and ports too (not network order).
 * The run directory is named by the environment variable IMAGINARY_DIR:
 *   table      written by the supervisor, mapped read-only by every guest (names, locations, ports)
 *   sockets    created zeroed by the supervisor, mapped read-write by every guest: what the shims remember of their
 *              sockets (im_socket_slot), where the supervisor marks connections
 *   shim.sock  Unix datagram socket of the supervisor
 *   files      remapped files, read by every guest when it starts: IM_FILES_MAGIC, then pairs `path`, `where it
 *              really is`,
 *              each text ended by a NUL; absolute paths without `.`, `..` and double slashes
 */
#ifndef IMAGINARY_ABI_H
#define IMAGINARY_ABI_H

#include <stdint.h>

#define IM_ENV_DIR "IMAGINARY_DIR"
#define IM_TABLE_FILE "table"
#define IM_SOCKETS_FILE "sockets"
#define IM_SOCKETS_SIZE (640u * 1024) /* reserved at every cold start: no larger than it has to be */
#define IM_SHIM_SOCKET "shim.sock"
#define IM_FILES_FILE "files"
#define IM_FILES_MAGIC "imaginary files 1"
#define IM_FILES_MOST 128u

/* In the sockets file: a uint32_t that guests count up with every datagram from or to another host. */
#define IM_TRAFFIC_OFFSET (IM_SOCKETS_SIZE - 64u)

#define IM_VERSION 1

/* ---- sockets ---- */
/*
 * From the file's start, up to IM_TRAFFIC_OFFSET. A slot is written under its own sequence lock: whoever makes `seq`
 * odd writes, and makes it even again. A writer that is killed half-way leaves it odd: lost. A change of
 * the flags alone is one step, `seq` and `flags` together: nobody finds the slot being written for it.
 */
struct im_socket_slot { /* 40 bytes */
  uint32_t seq;
  uint32_t flags;  /* IM_SOCKET_* | form of local << 8 | form of peer << 16 */
  uint64_t cookie; /* SO_COOKIE; 0: free */
  uint32_t local, peer;
  uint32_t ports; /* local | peer << 16 */
  /*
   * An errno; or with IM_SOCKET_HANDOFF, and without IM_SOCKET_ERROR: virtual address of the host that the connection
   * goes to. 0: `peer`, which is no service then.
   */
  uint32_t error;
  uint64_t epoch; /* IM_SOCKET_HANDOFF: of the peer */
};
#define IM_SOCKET_ERROR 4u /* `error` is an errno */
/* A connection that the supervisor has made: the kernel's addresses are not the guest's. */
#define IM_SOCKET_HANDOFF 16u
/* Marks of the supervisor, which the shims heed at IM_SIGNAL: reset it, as its peer's epoch has ended. */
#define IM_SOCKET_ENDED 32u
/* Send a keep-alive probe, as this host was frozen. The shim takes the mark off. */
#define IM_SOCKET_PROBE 64u
/*
 * SIGRTMAX - 3: the supervisor sends it to guests that have a handler for it. No libc uses it, and the shim hides what
 * guests would see of it (src/shim/interrupts).
 */
#define IM_SIGNAL 61

/* ---- table ---- */
#define IM_TABLE_MAGIC 0x42544d49u /* "IMTB" */

struct im_table_header { /* 128 bytes */
  uint32_t magic;
  uint32_t version;
  uint32_t seq; /* seqlock: odd while the supervisor writes hosts' locations or ports */
  uint32_t file_size;
  uint32_t cidr_base;
  uint32_t cidr_prefix;
  uint32_t self;         /* virtual address of this host */
  uint32_t alias_base;   /* never 0: loopback alias of a host = alias_base | (virtual & 0xffff); no host's: of clients
                            from outside */
  uint32_t alias_loop;   /* never 0: what stands for 127.0.0.1 here = alias_loop | (self & 0xffff) */
  uint32_t hosts_offset; /* im_host[hosts_count], sorted by virtual address */
  uint32_t hosts_count;
  uint32_t names_offset; /* im_name[names_capacity], open addressing, linear probing, capacity a power of two */
  uint32_t names_capacity;
  uint32_t ports_offset; /* im_port[ports_count], sorted by (address, port) */
  uint32_t ports_count;
  uint32_t ports_capacity;
  uint32_t strings_offset; /* NUL-terminated, lower case; offset 0 is the empty string */
  uint32_t strings_size;
  uint32_t hostname; /* string offset: this host's name */
  uint32_t handoff;  /* not 0: hosts do not reach each other; what comes from another host's loopback alias is a signal
                        connection */
  uint32_t started;  /* CLOCK_MONOTONIC when this life of the host began, in 1/100 s modulo 2^32; 0: not known */
  uint32_t reserved[11];
};

struct im_host {    /* 32 bytes */
  uint32_t address; /* virtual */
  uint32_t name;    /* string offset: canonical name */
  uint32_t node_id;
  uint32_t state; /* IM_LOCATE, IM_DIRECT or IM_HANDOFF */
  uint32_t real;  /* real address when IM_DIRECT */
  uint32_t reserved;
  uint64_t epoch;
};
#define IM_LOCATE 0u /* location unknown, not running or suspended: ask the supervisor */
#define IM_DIRECT 1u /* running and directly reachable on the ports listed; other ports: ask */
#define IM_HANDOFF \
  2u /* running, and the supervisor has connections to the ports listed (IM_FLAG_LISTED); other ports: ask */

struct im_name { /* 16 bytes; hash 0 and name 0: empty slot */
  uint32_t hash; /* FNV-1a 32 of the lower-case name */
  uint32_t name; /* string offset */
  uint32_t host; /* index into hosts */
  uint32_t reserved;
};

struct im_port {    /* 16 bytes: a listening port of a host (of this one too) */
  uint32_t address; /* virtual address of the host; or, of this host, the address of 127.0.0.0/8 that it is bound at
                       (alias.h); or a client's from outside, whose UDP port `real` = alias_base stands for */
  uint16_t port;    /* as the guest knows it */
  uint16_t real_port;
  uint32_t real;  /* real address to connect to */
  uint32_t scope; /* IM_SCOPE_* */
};
#define IM_SCOPE_ANY 0u       /* listens on the wildcard address */
#define IM_SCOPE_HOST 1u      /* listens on the host's virtual address only */
#define IM_SCOPE_LOOPBACK 2u  /* listens on loopback only: not for other hosts */
#define IM_SCOPE_LOOPBACK6 3u /* listens for IPv6 only: for connects to ::1, and not for other hosts */
#define IM_REAL_LOOPBACK6 1u  /* `real` with IM_SCOPE_LOOPBACK6: ::1, by its last 32 bits */
#define IM_SCOPE_DATAGRAM 4u  /* added to one of the above: a UDP port, reported when it is bound. Absent: TCP */

/*
 * Real ports for the ports below 1024, which no guest may bind on Lambda. Above the usual ephemeral range, and always
 * the same, so that a second bind of the port fails or shares as the kernel has it, and that a datagram finds a port
 * that is not listed.
 */
#define IM_LOW_PORTS 64512u

/*
 * Where guests find the host's resolver: the nameserver of their resolv.conf, an address that nobody else uses. The
 * supervisor opens it at the first IM_OP_CONNECT for it; the table lists its real ports then, TCP and UDP, with this
 * address as their host.
 */
#define IM_RESOLVER 0x7f003535u /* 127.0.53.53 */
#define IM_RESOLVER_PORT 53u

/* ---- datagrams ---- */
#define IM_REQUEST_MAGIC 0x51524d49u /* "IMRQ" */
#define IM_REPLY_MAGIC 0x50524d49u   /* "IMRP" */

/* Ancillary data of a request: one descriptor, the end of a socket pair on which the reply is expected. */
struct im_request { /* 64 bytes; IM_OP_LOG: text follows, IM_OP_DATAGRAM: what is to be sent */
  uint32_t magic;
  uint16_t version;
  uint16_t op;
  uint32_t pid;
  uint32_t flags;
  uint64_t cookie;  /* SO_COOKIE of the guest's socket */
  uint32_t address; /* CONNECT, DATAGRAM: virtual address of the destination. LISTEN: as im_port. ACCEPT: of the other
                       side */
  uint16_t port;    /* CONNECT, DATAGRAM: destination port. LISTEN: port as the guest knows it. ACCEPT: the signal's */
  /*
   * LISTEN: the port that is really bound. CONNECT: the port that the guest has bound; 0: none. ACCEPT: the signal went
   * there. DATAGRAM: the real port of the socket
   */
  uint16_t real_port;
  uint32_t real;  /* LISTEN: the address that is really bound. DATAGRAM: the source address; 0: any */
  uint32_t scope; /* LISTEN: IM_SCOPE_*. DATAGRAM: TTL and, 8 bits up, TOS */
  uint64_t epoch; /* STALE: the epoch the shim connected to */
  /* Of the connector, never of a shim: the guest connects to this service, and `address` was chosen. */
  uint32_t service;
  uint32_t reserved[3];
};
#define IM_OP_CONNECT 1 /* reply when the destination listens: status 0 and where to connect, or an errno */
#define IM_OP_LISTEN 2  /* reply when the table lists the port */
#define IM_OP_STALE 3   /* no reply: a direct connect to `address`:`port` failed, or its location changed meanwhile */
#define IM_OP_LOG 4     /* no reply: a line for the host's log */
/*
 * No reply: to be sent from the guest's own socket, which comes along in place of the reply's, when its destination is
 * up.
 */
#define IM_OP_DATAGRAM 5
/* A signal connection was accepted: reply with the connection that it stands for, or an errno when that is gone. */
#define IM_OP_ACCEPT 6
#define IM_FLAG_NONBLOCK 1u /* CONNECT: no thread of the guest waits */
#define IM_FLAG_LISTED 2u   /* CONNECT: the table lists the port, and its host is IM_HANDOFF */
/*
 * CONNECT: where no connection stands already, nor will in some 2 ms, EAGAIN comes as a first reply; the reply follows.
 */
#define IM_FLAG_READY 4u

struct im_reply { /* 32 bytes */
  uint32_t magic;
  int32_t status; /* 0, or the errno for the guest */
  /* Where to connect to. IM_TRANSPORT_HANDOFF: address of the other side: virtual, or a client's from outside. */
  uint32_t real;
  uint16_t real_port;
  uint16_t transport; /* IM_TRANSPORT_* */
  uint64_t epoch;
  uint32_t flags; /* IM_REPLY_* */
  uint32_t reserved;
};
/* The address is a service's: when the host that was chosen does not answer, ask again, for as long as an address
 * comes. */
#define IM_REPLY_CHOSEN 1u
#define IM_TRANSPORT_DIRECT 1
/*
 * Ancillary data of the reply: the connection itself. `real_port`: the guest's port in it (ACCEPT: the other side's).
 */
#define IM_TRANSPORT_HANDOFF 2

_Static_assert(sizeof(struct im_socket_slot) == 40, "socket slot");
_Static_assert(sizeof(struct im_table_header) == 128, "table header");
_Static_assert(sizeof(struct im_host) == 32, "host");
_Static_assert(sizeof(struct im_name) == 16, "name");
_Static_assert(sizeof(struct im_port) == 16, "port");
_Static_assert(sizeof(struct im_request) == 64, "request");
_Static_assert(sizeof(struct im_reply) == 32, "reply");

#endif
