/** The Node-API addon (src/native/addon/addon.c), loaded from beside the bundle: `native.node`. */
export interface NativeAddon {
  /**
   * Binds a Unix datagram socket at `path` (mode 0600, an existing file is replaced) and reads it on a thread of its
   * own. What `connector` can answer by itself never gets here. `onMessage` is called on the JavaScript thread for each
   * other datagram, with its bytes and the descriptors that came along (CLOEXEC; the callee owns them). Datagrams of
   * another uid than our own are dropped (SO_PASSCRED).
   * @throws Error with `code` (errno name) when the socket cannot be bound
   */
  openShimSocket(
    path: string,
    onMessage: (message: Buffer, descriptors: number[]) => void,
    connector?: NativeConnector,
  ): ShimSocket;
  /**
   * Makes connections for guests and takes them for guests (src/native/connector). `aliasBase`: the first address of
   * the loopback aliases. `onEvent`: see `enum im_event` in src/contract/abi/connector.h. Its threads start with the
   * first connection.
   */
  openConnector(aliasBase: number, onEvent: (event: number, subject: number, detail: number) => void): NativeConnector;
  /**
   * Sends one message with descriptors on a Unix socket, without blocking, then closes `fd`. False: the other side is
   * gone.
   */
  reply(fd: number, message: Uint8Array, descriptors: readonly number[]): boolean;
  /**
   * Sends one UDP datagram from a socket that came with a message, to a real address and port, without blocking: as the
   * guest has sent it, whatever became of the socket. `source`, `sourcePort` and `marks` (TTL and 256 times the TOS):
   * as they were then; 0: as the socket has it. Does not close `fd`. False: the kernel did not take it.
   */
  sendDatagram(
    fd: number,
    data: Uint8Array,
    address: number,
    port: number,
    source: number,
    sourcePort: number,
    marks: number,
  ): boolean;
  /** Closes a descriptor that came with a message. */
  closeDescriptor(fd: number): void;
  /** What has come over this TCP connection is acknowledged now, and not with the next data (delayed ACK). */
  acknowledge(fd: number): void;
  /** Creates (or opens) a file of exactly `size` bytes, mode 0600, and maps it shared, read-write. */
  mapFile(path: string, size: number): ArrayBuffer;
  /**
   * Locks a file (made when missing, mode 0600) for this process, until the descriptor is closed or the process ends;
   * not against the process itself.
   * @returns the descriptor, or -1 and the process that has the file locked
   */
  lockFile(path: string): [descriptor: number, holder: number];
  /**
   * A socket that listens for connections, or is bound for datagrams (CLOEXEC, does not block), for another program to
   * accept or receive from. Port 0: the kernel chooses.
   * @throws Error with `code` (errno name) when it cannot be bound
   */
  listen(address: string, port: number, datagrams: boolean): [descriptor: number, port: number];
  /** A pipe (both ends CLOEXEC): [read end, write end]. */
  pipe(): [number, number];
  /**
   * Starts a program in a session of its own, with `/dev/null` as its input. `environment`: `NAME=value` strings. Calls
   * `onExit` once, with its exit code or with the number of the signal that ended it.
   * @returns its process number
   * @throws Error with `code` (errno name) and `syscall` when it cannot be started
   */
  spawn(
    file: string,
    args: readonly string[],
    environment: readonly string[],
    cwd: string,
    output: number,
    errors: number,
    onExit: (code: number | null, signal: number | null) => void,
  ): number;
  /**
   * The TCP sockets of this network namespace: those in TIME_WAIT, or all others. Thirteen numbers a row: local address and
   * port, remote address and port (IPv4 as an unsigned integer, also when mapped into IPv6; 0: any; -1: another IPv6
   * address), state, bytes not acknowledged, bytes not read (of a listener: connections not accepted), milliseconds
   * left in TIME_WAIT, inode (0: no descriptor), bytes moved so far (acknowledged plus received), SO_COOKIE, milliseconds since an acknowledgement last arrived, retransmissions so far. Null where the kernel
   * has no sock_diag.
   */
  tcpSockets(timeWait: boolean): Float64Array | null;
  /**
   * Opens the seed's data port (src/native/relay/relay.h) on a thread of its own; `onEvent` is called on the JavaScript
   * thread.
   * @throws Error with `code` (errno name) when it cannot be listened on
   */
  openDataPort(address: string, port: number, onEvent: (event: DataPortEvent) => void): DataPort;
  /**
   * What one exposed port allows each client (src/native/relay/clients.h).
   * @param blocks network and mask of each block of the allow-list
   * @param most connections, new ones a minute, allocations a minute
   */
  exposedClients(blocks: Uint32Array, most: Uint32Array): NativeClients;
}
/** Addresses are IPv4 as unsigned integers, `now` is `process.hrtime` in milliseconds. A text says why a client may not. */
export interface NativeClients {
  allows(address: number): boolean;
  /** Counts until `leaves`, if it may. */
  connects(address: number, now: number): string | undefined;
  allocates(address: number, now: number): string | undefined;
  leaves(address: number): void;
  /** Clients of which something is kept. */
  size(): number;
}
export interface DataPort {
  /** What is really listened on. */
  readonly port: number;
  /**
   * Whoever connects with token `a` and whoever connects with token `b` (32 random bytes each) within 10 s will be
   * connected to each other. False: the relay is full, or closed.
   */
  expect(a: Uint8Array, b: Uint8Array, id: number): boolean;
  /**
   * Of the pair with that id: bytes sent to the side with token `a` so far, how many of them it has not acknowledged,
   * and the same of the side with token `b`. Null: there is no such pair.
   */
  sent(id: number): readonly [number, number, number, number] | null;
  /**
   * Whether the side with token `a` (0) or `b` (1) is there: if it answers nothing within some seconds, the pair ends.
   * Off: its silence is no end any more, as the host may be suspended. False: there is no such pair.
   */
  probe(id: number, side: 0 | 1, on: boolean): boolean;
  /**
   * The other side of the pair with that id will not come, or the destination is not waited for (`connect`): `unused`
   * follows at once. False: there is no such pair that is waited for.
   */
  withdraw(id: number): boolean;
  /** Resets both sides of the pair. False: there is no such pair. */
  breakOff(id: number): boolean;
  /**
   * Accepts clients from outside at a listener of `listen`, which belongs to the data port from now on; `ingress` names
   * it in events. Clients that `clients` does not let connect are reset and counted in `refused`; others count there
   * until their connection ends. Null: all are reported.
   * @returns 0, or an errno
   */
  accept(listener: number, ingress: number, clients: NativeClients | null): number;
  /**
   * From now on clients of that ingress, which has `clients`, are connected to an IPv4 address (an unsigned integer) and
   * port, and counted in `led`; those that cannot be are reported (`caller`). Port 0: all are. `lead` names the
   * destination in `led`. False: there is no such ingress.
   */
  lead(ingress: number, address: number, port: number, lead: number): boolean;
  /** The caller's first TLS record is reported when it is whole (`hello`). False: the caller is gone. */
  hear(caller: number): boolean;
  /** Resets a caller. False: it is gone. */
  refuse(caller: number): boolean;
  /** A caller's socket; -1: it is gone. The data port knows nothing of it any more. */
  take(caller: number): number;
  /**
   * A new caller, as if one had connected from that IPv4 address (an unsigned integer) and port: it waits, and no event
   * reports it. What it says is written to `descriptor`, a TCP socket that the callee owns.
   * @returns 0 or an errno first: then the others mean nothing
   */
  adopt(address: number, port: number): readonly [error: number, caller: number, descriptor: number];
  /**
   * The caller is the side with token `a` of the pair with that id: whoever shows `b` within 10 s becomes its other
   * side, and is sent `preface` (28 bytes at most) before the caller's own bytes. If nobody comes (`unused`), the caller waits for
   * another decision. False: the caller is gone, or the relay is full.
   */
  admit(caller: number, a: Uint8Array, b: Uint8Array, id: number, preface: Uint8Array): boolean;
  /**
   * Connects to an IPv4 address (an unsigned integer) and port within 10 s, and makes one connection of both, as `admit`.
   * The other side sees the address `client`, if this machine has it.
   * Where that fails, `unused` has the error. @returns 0, or an errno: then no event follows
   */
  connect(caller: number, id: number, client: number, address: number, port: number, preface: Uint8Array): number;
  /** Resets all connections. No event comes after it. */
  close(): void;
}
export type DataPortEvent =
  /** A client has connected to an ingress, from this address (an unsigned integer) and port. It waits. */
  | {
      readonly type: 'caller';
      readonly id: number;
      readonly ingress: number;
      readonly address: number;
      readonly port: number;
    }
  /** So many clients of an ingress were reset since the last such event, the last one from `address`. */
  | {
      readonly type: 'refused';
      readonly ingress: number;
      readonly address: number;
      readonly count: number;
      readonly reason: string;
    }
  /** So many were connected to the destination of that `lead`. */
  | {
      readonly type: 'led';
      readonly ingress: number;
      readonly address: number;
      readonly count: number;
      readonly lead: number;
    }
  /** After `hear`: the caller's first TLS record; empty: what it has sent is none. */
  | { readonly type: 'hello'; readonly id: number; readonly hello: Uint8Array }
  /** The caller has left, or has not sent its first TLS record within 5 s. */
  | { readonly type: 'gone'; readonly id: number }
  /** Both sides have come. */
  | { readonly type: 'paired'; readonly id: number }
  /** `bytes`: from a to b, from b to a. `error`: it was broken off. */
  | { readonly type: 'ended'; readonly id: number; readonly bytes: readonly [number, number]; readonly error?: string }
  /** The tokens have expired, or one side has come and left. `arrived`: how many sides had come. */
  | { readonly type: 'unused'; readonly id: number; readonly arrived: number; readonly error?: string }
  /** So many connections were reset since the last such event; the last one's address and reason. */
  | { readonly type: 'rejected'; readonly count: number; readonly address: string; readonly reason: string };
export interface ShimSocket {
  /** Stops the thread, closes and unlinks the socket. */
  close(): void;
  /** From now on the open socket alone does not keep the process alive. */
  unref(): void;
}

/** A connection to be made; addresses are IPv4 as unsigned integers. */
export interface ConnectorOpening {
  readonly id: number;
  /** See `enum im_purpose` in src/contract/abi/connector.h. */
  readonly purpose: number;
  /** The other side is no member, but a client that has come through the seed's ingress. */
  readonly outside?: boolean;
  /** Virtual address of the other side (of a client from outside: its own), and its epoch. */
  readonly peer: number;
  readonly epoch: number;
  /** Where to connect from. Without a port: as the kernel chooses. */
  readonly local?: number;
  readonly localPort?: number;
  /** The other side connects to the chosen port; nobody else is let in. */
  readonly listens?: boolean;
  readonly remote: number;
  readonly remotePort: number;
  /** Milliseconds in which it has to be open. */
  readonly timeout: number;
  /** Milliseconds that it is kept unused; a signalling channel: that what is called over it for the pool is. */
  readonly ttl?: number;
  /** In the pool: its use is reported when no more than these are left or being made. */
  readonly low?: number;
  /** To be delivered: the guest's port here. */
  readonly port?: number;
  /** The guest's port at the side that connects. */
  readonly sourcePort?: number;
  /** To be given: the shim's socket. Closed when it has been given; untouched when the opening fails. */
  readonly replyTo?: number;
  /** What each side sends first: 36 bytes at most. In a pool, the side that keeps it ready sends it when it is used. */
  readonly send?: Uint8Array;
  readonly expect?: Uint8Array;
  /**
   * A signalling channel (its `send` and `expect` are keys of 16 bytes): the ports that connections are called from,
   * and to.
   */
  readonly ownFirst?: number;
  readonly ownCount?: number;
  readonly theirFirst?: number;
  readonly theirCount?: number;
}
export interface NativeConnector {
  /** @returns 0, or an errno: then no event follows */
  open(opening: ConnectorOpening): number;
  /**
   * Many for the pool, which differ in their ports (own, other side's, and so on) and secrets (16 bytes each: own,
   * other side's, and so on). One event reports all of them. @returns as `open`
   */
  fill(opening: ConnectorOpening, ports: Uint16Array, secrets: Uint8Array): number;
  /**
   * `count` (1 to 64) for the pool, agreed on over the signalling channel to that peer; `low` as in `ConnectorOpening`.
   * One event reports all of them.
   * @returns as `open`; ENOTCONN when there is no signalling channel
   */
  call(id: number, peer: number, count: number, low: number): number;
  /**
   * Gives an opening (or what is left of many) up: no event follows. False: it has ended already, and its event is
   * under way.
   */
  cancel(id: number): boolean;
  /** The other side of that opening has proved itself elsewhere: what was expected of it first does not come. */
  proved(id: number): void;
  /** Closes what is kept ready with that peer (0: with all of them), in both directions. */
  drop(peer: number): void;
  /** Guests' listeners: port, real address, real port, and so on. */
  listeners(rows: Uint32Array): void;
  /**
   * Where connects to services may go, all of it: service, host (virtual addresses), port, connections, and how many make
   * it full; and so on. @param given gets how many connects went to each of the places before
   */
  services(rows: Uint32Array, given: Uint32Array): void;
  /** Connections that have arrived and were not accepted yet, and guests here that wait for one. */
  arriving(): number;
  /** Idle connections to `peer` minus waiting guests. With peer 0: all idle connections. */
  ready(peer: number): number;
  /** Ends every connection that no guest has. */
  close(): void;
}
