/**
 * The datagrams between shim and supervisor: TypeScript's view of src/contract/abi/abi.h (its offsets are compared with the C
 * header by test/contract/abi/abi.test.ts). All integers in the machine's byte order, which on both of Lambda's
 * architectures is little-endian.
 */

import { parseAddress } from '../manifest/address';

/** Names in the run directory, and the variable that tells guests where it is. */
export const RUN_DIR_ENV = 'IMAGINARY_DIR';
export const TABLE_FILE = 'table';
export const SOCKETS_FILE = 'sockets';
export const SOCKETS_SIZE = 512 * 1024;
export const SHIM_SOCKET = 'shim.sock';
export const FILES_FILE = 'files';
/** First text of that file; pairs of texts follow, each ended by a NUL: a path, and where it really is. */
export const FILES_MAGIC = 'imaginary files 1';
/** The shim reads no more pairs than these. */
export const FILES_MOST = 128;

/** In the sockets file: a counter of datagrams from and to other hosts, 32 bits. */
export const TRAFFIC_OFFSET = SOCKETS_SIZE - 64;
/** Where a port below 1024 really is, unless it is told otherwise. */
export const LOW_PORTS = 64_512;

/** Where guests find the host's resolver, which the supervisor opens when it is first connected to. */
export const RESOLVER_ADDRESS = '127.0.53.53';
export const RESOLVER_PORT = 53;

export const ABI_VERSION = 1;
export const REQUEST_MAGIC = 0x51524d49;
export const REPLY_MAGIC = 0x50524d49;
export const REQUEST_SIZE = 64;
export const REPLY_SIZE = 32;

export const OP = { connect: 1, listen: 2, stale: 3, log: 4, datagram: 5, accept: 6 } as const;
export const FLAG_NONBLOCK = 1;
export const FLAG_LISTED = 2;
export const FLAG_READY = 4;
export const TRANSPORT_DIRECT = 1;
export const TRANSPORT_HANDOFF = 2;

/** Offsets of the structures' fields, in bytes. */
export const REQUEST = {
  magic: 0,
  version: 4,
  op: 6,
  pid: 8,
  flags: 12,
  cookie: 16,
  address: 24,
  port: 28,
  real_port: 30,
  real: 32,
  scope: 36,
  epoch: 40,
} as const;
export const REPLY = { magic: 0, status: 4, real: 8, real_port: 12, transport: 14, epoch: 16 } as const;

export type Scope = 'any' | 'host' | 'loopback' | 'loopback6';
/** The place in the array is the number on the signalling channel (IM_SCOPE_*). */
export const SCOPES: readonly Scope[] = ['any', 'host', 'loopback', 'loopback6'];
/** What stands for ::1 in `real` of a listener with scope `loopback6`. */
export const REAL_LOOPBACK6 = 1;

/** Added to a scope's number: a UDP port (IM_SCOPE_DATAGRAM). */
export const SCOPE_DATAGRAM = 4;
/** Absent: TCP. */
export type Protocol = 'udp';

/** The real port of one that nobody has told about. */
export function hiddenPort(port: number): number {
  return port < 1_024 ? LOW_PORTS + port : port;
}

/** And back. */
export function plainPort(real: number): number {
  return real > LOW_PORTS ? real - LOW_PORTS : real;
}

const LOOPBACK = 0x7f000001;

/** Whether that is 127.0.0.2 or the like, at which a guest may listen: neither 127.0.0.1 nor the resolver. */
export function isAlias(address: number): boolean {
  return address >>> 24 === 127 && address !== LOOPBACK && address !== parseAddress(RESOLVER_ADDRESS);
}

export type ShimRequest =
  | {
      readonly op: 'connect';
      readonly pid: number;
      readonly nonBlocking: boolean;
      readonly cookie: bigint;
      /** Virtual address of the destination. */
      readonly address: number;
      readonly port: number;
      /** The port that the guest has bound; 0: none. */
      readonly sourcePort: number;
      /** The epoch that the shim could not connect to; 0: it has not tried. */
      readonly epoch: number;
    }
  | {
      readonly op: 'listen';
      readonly pid: number;
      readonly cookie: bigint;
      /** The port as the guest knows it. */
      readonly port: number;
      /** What is really bound. */
      readonly real: number;
      readonly realPort: number;
      readonly scope: Scope;
      readonly protocol?: Protocol;
      /** See `OwnPort.address`. */
      readonly address?: number;
    }
  /** To be sent from the guest's own socket, the descriptor that comes along, when the destination is up. */
  | {
      readonly op: 'datagram';
      readonly pid: number;
      readonly cookie: bigint;
      readonly address: number;
      readonly port: number;
      /** Source address; 0: any. */
      readonly source: number;
      /** The real port of the socket. */
      readonly sourcePort: number;
      /** TTL and 256 times the TOS. */
      readonly marks: number;
      readonly data: Buffer;
    }
  | {
      readonly op: 'stale';
      readonly pid: number;
      readonly address: number;
      readonly port: number;
      /** The epoch that the shim connected to. */
      readonly epoch: number;
    }
  /** The connection that a signal connection stands for is wanted; the connector answers that, if there is one. */
  | { readonly op: 'accept'; readonly pid: number }
  | { readonly op: 'log'; readonly pid: number; readonly text: string };

/** A datagram that no shim of this version sends. */
export class BadRequestError extends Error {
  readonly code = 'BAD_SHIM_REQUEST';
  constructor(readonly reason: string) {
    super(`a guest's shim sent what is not a request: ${reason}`);
    this.name = 'BadRequestError';
  }
}

/** @throws BadRequestError */
export function decodeRequest(message: Buffer): ShimRequest {
  if (message.length < REQUEST_SIZE) throw new BadRequestError(`${message.length} bytes`);
  if (message.readUInt32LE(REQUEST.magic) !== REQUEST_MAGIC) throw new BadRequestError('no magic number');
  const version = message.readUInt16LE(REQUEST.version);
  if (version !== ABI_VERSION) throw new BadRequestError(`version ${version}`);
  const op = message.readUInt16LE(REQUEST.op);
  const pid = message.readUInt32LE(REQUEST.pid);
  const address = message.readUInt32LE(REQUEST.address);
  const port = message.readUInt16LE(REQUEST.port);
  const cookie = message.readBigUInt64LE(REQUEST.cookie);
  const epoch = Number(message.readBigUInt64LE(REQUEST.epoch));
  // The seed does not take such a number, and would close the connection that all guests here depend on.
  if (!Number.isSafeInteger(epoch)) throw new BadRequestError(`epoch ${epoch}`);
  switch (op) {
    case OP.connect: {
      const flags = message.readUInt32LE(REQUEST.flags);
      const nonBlocking = (flags & FLAG_NONBLOCK) !== 0;
      const sourcePort = message.readUInt16LE(REQUEST.real_port);
      return { op: 'connect', pid, nonBlocking, cookie, address, port, sourcePort, epoch };
    }
    case OP.listen: {
      const number = message.readUInt32LE(REQUEST.scope);
      const scope = SCOPES[number % SCOPE_DATAGRAM];
      if (!scope || number >= 2 * SCOPE_DATAGRAM) throw new BadRequestError(`scope ${number}`);
      const real = message.readUInt32LE(REQUEST.real);
      const protocol = number >= SCOPE_DATAGRAM ? ({ protocol: 'udp' } as const) : {};
      const realPort = message.readUInt16LE(REQUEST.real_port);
      if (port === 0 || realPort === 0) throw new BadRequestError(`a listener at port ${port || realPort}`);
      const alias = scope === 'loopback' && isAlias(address) ? { address } : {};
      return { op: 'listen', pid, cookie, port, real, realPort, scope, ...protocol, ...alias };
    }
    case OP.datagram: {
      const data = message.subarray(REQUEST_SIZE);
      const source = message.readUInt32LE(REQUEST.real);
      const sourcePort = message.readUInt16LE(REQUEST.real_port);
      const marks = message.readUInt32LE(REQUEST.scope);
      return { op: 'datagram', pid, cookie, address, port, source, sourcePort, marks, data };
    }
    case OP.stale:
      return { op: 'stale', pid, address, port, epoch };
    case OP.accept:
      return { op: 'accept', pid };
    case OP.log: {
      const text = message.toString('utf8', REQUEST_SIZE).split('\0', 1)[0];
      return { op: 'log', pid, text };
    }
    default:
      throw new BadRequestError(`operation ${op}`);
  }
}

export type ShimReply =
  | { readonly status: 0; readonly real: number; readonly realPort: number; readonly epoch: number }
  /** An errno for the guest. */
  | { readonly status: number };

export function encodeReply(reply: ShimReply): Buffer {
  const message = Buffer.alloc(REPLY_SIZE);
  message.writeUInt32LE(REPLY_MAGIC, REPLY.magic);
  message.writeInt32LE(reply.status, REPLY.status);
  if ('real' in reply) {
    message.writeUInt32LE(reply.real, REPLY.real);
    message.writeUInt16LE(reply.realPort, REPLY.real_port);
    message.writeUInt16LE(TRANSPORT_DIRECT, REPLY.transport);
    message.writeBigUInt64LE(BigInt(reply.epoch), REPLY.epoch);
  }
  return message;
}
