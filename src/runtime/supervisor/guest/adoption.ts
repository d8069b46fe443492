/**
 * Guests that outlived their supervisor, and how the next one on the same run directory takes them over: they go on with
 * the files that they have mapped, what they listen on is found again, and what they wrote meanwhile is read.
 */
import {
  constants,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { isAlias, LOW_PORTS, REAL_LOOPBACK6, SOCKETS_FILE, TABLE_FILE } from '../../../contract/abi/shim';
import { HEADER, isTableOf, layoutTable, ownPortsOf, type TableSpec } from '../../../contract/abi/table';
import type { NativeAddon } from '../../../native/addon';
import { isListener } from '../sockets/listeners';
import type { OwnPort } from '../sockets/locations';
import { LISTEN, readUdp, tcpSockets } from '../sockets/proc-net';
import { GUEST_ENV } from './environment';
import { type GuestProcesses, socketInodes, trackGuests } from './processes';

/** Of the run directory: what the next supervisor has to know of a guest. Written before the guest is started. */
export const GUEST_FILE = 'guest';

export interface GuestRecord {
  readonly host: string;
  readonly epoch: number;
  /** Value of GUEST_ENV in its environment. */
  readonly mark: string;
  /** Inodes of the pipes that are its standard output and error. */
  readonly outputs: readonly [stdout: number, stderr: number];
}

export function writeGuestRecord(runDir: string, record: GuestRecord): void {
  writeFileSync(join(runDir, GUEST_FILE), JSON.stringify(record), { mode: 0o600 });
}

/** Processes that use the files of a run directory whose supervisor is dead. */
export interface Leftover {
  /** Absent: they are not the guests of a host. */
  readonly record?: GuestRecord;
  readonly processes: GuestProcesses;
  /** Whether their table is one for this directory. Another one cannot take its place: they have mapped it. */
  fits(spec: TableSpec): boolean;
  /** What they listen on now. */
  ports(): OwnPort[];
  /** The reading end of one of their pipes; undefined when none of them has it any more. */
  openOutput(inode: number): number | undefined;
}

/** @returns undefined when nothing of that directory runs */
export function findLeftover(runDir: string, native: Pick<NativeAddon, 'tcpSockets'>): Leftover | undefined {
  const file = join(runDir, TABLE_FILE);
  let table: Buffer;
  try {
    table = readFileSync(file);
  } catch {
    return undefined; // the usual case
  }
  const record = readRecord(runDir);
  const environment = record && `${GUEST_ENV}=${record.mark}`;
  const processes = trackGuests({ environment, mapped: realpathSync(file), since: 0 });
  if (processes.list().length === 0) return undefined;
  return {
    record,
    processes,
    fits: (spec) => isTableOf(table, layoutTable(spec)),
    ports: () => portsOf(runDir, table, processes, native),
    openOutput: (inode) => openOutput(processes, inode),
  };
}

function readRecord(runDir: string): GuestRecord | undefined {
  try {
    const record = JSON.parse(readFileSync(join(runDir, GUEST_FILE), 'utf8'));
    const { host, epoch, mark, outputs } = record;
    const good =
      typeof host === 'string' && Number.isSafeInteger(epoch) && /^[0-9a-f]+$/.test(mark) && outputs?.length === 2;
    return good ? record : undefined;
  } catch {
    return undefined; // none, or one that its writer did not finish
  }
}

/** The ports that the table lists and the kernel still has, and listeners that were made while there was no supervisor. */
function portsOf(
  runDir: string,
  table: Buffer,
  processes: GuestProcesses,
  native: Pick<NativeAddon, 'tcpSockets'>,
): OwnPort[] {
  const inodes = new Set(processes.list().flatMap(({ pid }) => socketInodes(pid)));
  const listening = tcpSockets(native).filter((s) => s.state === LISTEN && inodes.has(s.inode));
  const bound = readUdp().filter((s) => inodes.has(s.inode));
  const listed = ownPortsOf(table)
    .map(({ address, ...port }) => ({ ...port, ...(isAlias(address) && { address }) }))
    .filter((port) => (port.protocol ? bound : listening).some((socket) => isListener(socket, port)));
  const missed = listening.filter((socket) => !listed.some((port) => !port.protocol && isListener(socket, port)));
  if (missed.length === 0) return listed;
  const sockets = readFileSync(join(runDir, SOCKETS_FILE));
  const self = table.readUInt32LE(HEADER.self);
  const base = table.readUInt32LE(HEADER.alias_loop);
  const loopback = base === 0 ? 0x7f000001 : base + (self & 0xffff);
  const found = missed.map(({ local, localPort, cookie }): OwnPort => {
    const asked = cookie === undefined ? undefined : askedFor(sockets, cookie);
    const low = localPort > LOW_PORTS && localPort < LOW_PORTS + 1_024;
    const port = asked?.port ?? (low ? localPort - LOW_PORTS : localPort);
    if (local === -1) return { port, real: REAL_LOOPBACK6, realPort: localPort, scope: 'loopback6' };
    const alias = local === loopback && asked && isAlias(asked.address) ? { address: asked.address } : {};
    const scope = local === loopback ? 'loopback' : asked?.address === self ? 'host' : 'any';
    return { port, real: local, realPort: localPort, scope, ...alias };
  });
  return [...listed, ...found];
}

/** What a guest bound a socket to, by its cookie: from the slots of the shim's own file (src/shim/core/sockets.c). */
function askedFor(sockets: Buffer, cookie: number): { address: number; port: number } | undefined {
  const SLOT = 32;
  const HAS_LOCAL = 1;
  for (let at = 0; at + SLOT <= sockets.length; at += SLOT) {
    if (Number(sockets.readBigUInt64LE(at + 8)) !== cookie) continue;
    const whole = sockets.readUInt32LE(at) % 2 === 0 && (sockets[at + 4] & HAS_LOCAL) !== 0;
    return whole ? { address: sockets.readUInt32LE(at + 16), port: sockets.readUInt16LE(at + 24) } : undefined;
  }
  return undefined;
}

/** A pipe outlives its reader where a writer has it open, and can be opened anew through that. */
function openOutput(processes: GuestProcesses, inode: number): number | undefined {
  for (const { pid } of processes.list()) {
    const folder = `/proc/${pid}/fd`;
    try {
      for (const name of readdirSync(folder)) {
        if (readlinkSync(`${folder}/${name}`) !== `pipe:[${inode}]`) continue;
        const fd = openSync(`${folder}/${name}`, constants.O_RDONLY | constants.O_NONBLOCK);
        if (fstatSync(fd).ino === inode) return fd;
      }
    } catch {
      // it ended meanwhile, or closed it
    }
  }
  return undefined;
}
