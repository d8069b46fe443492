/**
 * The datagrams between shim and supervisor, and the names in the run directory. All integers in the machine's byte
 * order, which on both of Lambda's architectures is little-endian.
 */
import { formatAddress } from '../manifest/address';
import * as abi from './generated';

/** The variable that tells guests where the run directory is, and names in it. */
export const RUN_DIR_ENV = abi.IM_ENV_DIR;
export const TABLE_FILE = abi.IM_TABLE_FILE;
export const SOCKETS_FILE = abi.IM_SOCKETS_FILE;
export const SOCKETS_SIZE = abi.IM_SOCKETS_SIZE;
export const SHIM_SOCKET = abi.IM_SHIM_SOCKET;
export const FILES_FILE = abi.IM_FILES_FILE;
export const FILES_MAGIC = abi.IM_FILES_MAGIC;
export const TRAFFIC_OFFSET = abi.IM_TRAFFIC_OFFSET;
export const LOW_PORTS = abi.IM_LOW_PORTS;
export const RESOLVER_ADDRESS = formatAddress(abi.IM_RESOLVER);
export const RESOLVER_PORT = abi.IM_RESOLVER_PORT;

export const OP = {
  connect: abi.IM_OP_CONNECT,
  listen: abi.IM_OP_LISTEN,
  stale: abi.IM_OP_STALE,
  log: abi.IM_OP_LOG,
  datagram: abi.IM_OP_DATAGRAM,
  accept: abi.IM_OP_ACCEPT,
} as const;

export const REQUEST = abi.im_request;
export const REPLY = abi.im_reply;

const SCOPE = {
  any: abi.IM_SCOPE_ANY,
  host: abi.IM_SCOPE_HOST,
  loopback: abi.IM_SCOPE_LOOPBACK,
  loopback6: abi.IM_SCOPE_LOOPBACK6,
} as const;
export type Scope = keyof typeof SCOPE;
/** What stands for ::1 in `real` of a listener with scope `loopback6`. */
export const REAL_LOOPBACK6 = abi.IM_REAL_LOOPBACK6;
/** Absent: TCP. */
export type Protocol = 'udp';

export function scopeNumber(scope: Scope, protocol?: Protocol): number {
  return SCOPE[scope] + (protocol === 'udp' ? abi.IM_SCOPE_DATAGRAM : 0);
}

/** And back; undefined when there is no such scope. */
function scopeOf(number: number): { readonly scope: Scope; readonly protocol?: Protocol } | undefined {
  if (number >= 2 * abi.IM_SCOPE_DATAGRAM) return undefined;
  const udp = number >= abi.IM_SCOPE_DATAGRAM;
  const scope = (Object.keys(SCOPE) as Scope[]).find((name) => SCOPE[name] === number % abi.IM_SCOPE_DATAGRAM);
  return scope && { scope, ...(udp && { protocol: 'udp' }) };
}

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
function isExtraLoopback(address: number): boolean {
  return address >>> 24 === 127 && address !== LOOPBACK && address !== abi.IM_RESOLVER;
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
  if (message.length < REQUEST.SIZE) throw new BadRequestError(`${message.length} bytes`);
  if (message.readUInt32LE(REQUEST.magic) !== abi.IM_REQUEST_MAGIC) throw new BadRequestError('no magic number');
  const version = message.readUInt16LE(REQUEST.version);
  if (version !== abi.IM_VERSION) throw new BadRequestError(`version ${version}`);
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
      const nonBlocking = (flags & abi.IM_FLAG_NONBLOCK) !== 0;
      const sourcePort = message.readUInt16LE(REQUEST.real_port);
      const service = message.readUInt32LE(REQUEST.service);
      return { op: 'connect', pid, nonBlocking, cookie, address: service || address, port, sourcePort, epoch };
    }
    case OP.listen: {
      const number = message.readUInt32LE(REQUEST.scope);
      const listens = scopeOf(number);
      if (!listens) throw new BadRequestError(`scope ${number}`);
      const real = message.readUInt32LE(REQUEST.real);
      const realPort = message.readUInt16LE(REQUEST.real_port);
      if (port === 0 || realPort === 0) throw new BadRequestError(`a listener at port ${port || realPort}`);
      const alias = listens.scope === 'loopback' && isExtraLoopback(address) ? { address } : {};
      return { op: 'listen', pid, cookie, port, real, realPort, ...listens, ...alias };
    }
    case OP.datagram: {
      const data = message.subarray(REQUEST.SIZE);
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
      const text = message.toString('utf8', REQUEST.SIZE).split('\0', 1)[0];
      return { op: 'log', pid, text };
    }
    default:
      throw new BadRequestError(`operation ${op}`);
  }
}

export type ShimReply =
  | {
      readonly status: 0;
      readonly real: number;
      readonly realPort: number;
      readonly epoch: number;
      /** One of a service's hosts: the shim asks again if that does not answer. */
      readonly chosen?: boolean;
    }
  /** An errno for the guest. */
  | { readonly status: number };

export function encodeReply(reply: ShimReply): Buffer {
  const message = Buffer.alloc(REPLY.SIZE);
  message.writeUInt32LE(abi.IM_REPLY_MAGIC, REPLY.magic);
  message.writeInt32LE(reply.status, REPLY.status);
  if ('real' in reply) {
    message.writeUInt32LE(reply.real, REPLY.real);
    message.writeUInt16LE(reply.realPort, REPLY.real_port);
    message.writeUInt16LE(abi.IM_TRANSPORT_DIRECT, REPLY.transport);
    message.writeBigUInt64LE(BigInt(reply.epoch), REPLY.epoch);
    if (reply.chosen) message.writeUInt32LE(abi.IM_REPLY_CHOSEN, REPLY.flags);
  }
  return message;
}
