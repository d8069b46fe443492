/**
 * The kernel's list of TCP sockets, as any user may read it: by sock_diag, or where there is none in /proc/net/tcp and
 * tcp6.
 */
import { readFileSync } from 'node:fs';
import type { NativeAddon } from '../../../native/addon';
import { TCP_COLUMNS, TCP_ROW } from '../../../native/addon/tcp-rows';

export interface TcpSocket {
  /** IPv4 address as an unsigned integer (IPv4-mapped ones too); 0: any address. Other IPv6 addresses: -1. */
  readonly local: number;
  readonly localPort: number;
  readonly remote: number;
  readonly remotePort: number;
  readonly state: number;
  /** Bytes sent and not acknowledged. */
  readonly sendQueue: number;
  /** Bytes not read yet; of a listener: connections not accepted yet. */
  readonly receiveQueue: number;
  /** In TIME_WAIT: milliseconds until it ends. */
  readonly timer: number;
  /** 0: belongs to no descriptor (not accepted yet, or closed by its process). */
  readonly inode: number;
  /** Bytes moved so far, both ways; absent where the kernel does not count. */
  readonly bytes?: number;
  /** SO_COOKIE; absent where the kernel does not tell. */
  readonly cookie?: number;
  /** Milliseconds since an acknowledgement last arrived; absent where the kernel does not tell. */
  readonly lastAck?: number;
  /** Segments that were sent again so far; absent where the kernel does not tell. */
  readonly retransmitted?: number;
}

export const TIME_WAIT = 6;
export const CLOSE = 7;
export const CLOSE_WAIT = 8;
export const LISTEN = 10;

/** How long Linux keeps a socket in TIME_WAIT, in milliseconds. */
export const TIME_WAIT_LENGTH = 60_000;

/** All sockets but those in TIME_WAIT, of which there may be very many. */
export function tcpSockets(native: Pick<NativeAddon, 'tcpSockets'>): TcpSocket[] {
  const rows = native.tcpSockets(false);
  return rows ? fromRows(rows) : readProcNet().filter((socket) => socket.state !== TIME_WAIT);
}

export function timeWaitSockets(native: Pick<NativeAddon, 'tcpSockets'>): TcpSocket[] {
  const rows = native.tcpSockets(true);
  return rows ? fromRows(rows) : readProcNet().filter((socket) => socket.state === TIME_WAIT);
}

/** Those of which data waits to be acknowledged: mostly few of many, and no others are made objects of. */
export function unacknowledgedSockets(native: Pick<NativeAddon, 'tcpSockets'>): TcpSocket[] {
  const rows = native.tcpSockets(false);
  return rows ? fromRows(rows, TCP_COLUMNS.sendQueue) : readProcNet().filter(({ sendQueue }) => sendQueue > 0);
}

/** @param column only of sockets that have something there */
function fromRows(rows: Float64Array, column?: number): TcpSocket[] {
  const sockets: TcpSocket[] = [];
  for (let row = 0; row < rows.length; row += TCP_ROW) {
    if (column !== undefined && rows[row + column] === 0) continue;
    sockets.push({
      local: rows[row + TCP_COLUMNS.local],
      localPort: rows[row + TCP_COLUMNS.localPort],
      remote: rows[row + TCP_COLUMNS.remote],
      remotePort: rows[row + TCP_COLUMNS.remotePort],
      state: rows[row + TCP_COLUMNS.state],
      sendQueue: rows[row + TCP_COLUMNS.sendQueue],
      receiveQueue: rows[row + TCP_COLUMNS.receiveQueue],
      timer: rows[row + TCP_COLUMNS.timer],
      inode: rows[row + TCP_COLUMNS.inode],
      bytes: rows[row + TCP_COLUMNS.bytes],
      cookie: rows[row + TCP_COLUMNS.cookie],
      lastAck: rows[row + TCP_COLUMNS.lastAck],
      retransmitted: rows[row + TCP_COLUMNS.retransmitted],
    });
  }
  return sockets;
}

export function readProcNet(folder = '/proc/net'): TcpSocket[] {
  return [...parseTcp(readOr(`${folder}/tcp`)), ...parseTcp(readOr(`${folder}/tcp6`))];
}

/** The UDP sockets, which have the same columns. Few, and not worth a question to sock_diag, which may lack them. */
export function readUdp(folder = '/proc/net'): TcpSocket[] {
  return [...parseTcp(readOr(`${folder}/udp`)), ...parseTcp(readOr(`${folder}/udp6`))];
}

/** A kernel without IPv6 has no tcp6. */
function readOr(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}

export function parseTcp(text: string): TcpSocket[] {
  const sockets: TcpSocket[] = [];
  const lines = text.split('\n');
  for (let i = 1; i < lines.length; i++) {
    const f = lines[i].trim().split(/\s+/, 10);
    if (f.length < 10) continue;
    const [local, localPort] = f[1].split(':');
    const [remote, remotePort] = f[2].split(':');
    const [send, receive] = f[4].split(':');
    sockets.push({
      local: addressOf(local),
      localPort: Number.parseInt(localPort, 16),
      remote: addressOf(remote),
      remotePort: Number.parseInt(remotePort, 16),
      state: Number.parseInt(f[3], 16),
      sendQueue: Number.parseInt(send, 16),
      receiveQueue: Number.parseInt(receive, 16),
      // In hundredths of a second, whatever the kernel's own tick is.
      timer: Number.parseInt(f[5].slice(3), 16) * 10,
      inode: Number(f[9]),
    });
  }
  return sockets;
}

/** The kernel prints each 32-bit word of an address in the machine's byte order. */
function addressOf(hex: string): number {
  const word = (at: number) => swap(Number.parseInt(hex.slice(at, at + 8), 16));
  if (hex.length === 8) return word(0);
  if (/^0{32}$/.test(hex)) return 0;
  const mapped = hex.startsWith('0000000000000000FFFF0000');
  return mapped ? word(24) : -1;
}

function swap(value: number): number {
  return ((value & 0xff) * 0x1000000 + ((value & 0xff00) << 8) + ((value >>> 8) & 0xff00) + (value >>> 24)) >>> 0;
}
