/** What a host's guests are doing right now, as far as the kernel shows any user. */

import { RESOLVER_ADDRESS } from '../../../contract/abi/shim';
import { parseAddress } from '../../../contract/manifest/address';
import type { NativeAddon } from '../../../native/addon';
import type { GuestProcess, GuestProcesses } from '../guest/processes';
import {
  CLOSE,
  CLOSE_WAIT,
  LISTEN,
  type TcpSocket,
  TIME_WAIT_LENGTH,
  tcpSockets,
  timeWaitSockets,
} from '../sockets/proc-net';
import { connectionHeld, processName } from './holder';
import { bytesOf, watchOwnership } from './ownership';

/** Guests may use this part of one CPU and still be idle: timers, housekeeping. */
export const CPU_THRESHOLD = 0.05;

export interface Activity {
  /** CPU time that guests used since the last look, in milliseconds. */
  readonly cpu: number;
  /** Open connections to or from others; those of the host with itself do not count. */
  readonly connections: number;
  /** Whether bytes moved on one of them since the last look, or one is new. */
  readonly moved: boolean;
  /** Connections that wait in a guest's queue to be accepted. */
  readonly queued: number;
  /**
   * How many milliseconds ago the last connection with another host was closed. Costs more than the rest: to be called
   * when it matters.
   */
  readonly closed: () => number | undefined;
  /**
   * The connection that moved bytes, or any open one; the process that used most CPU. Costs more than the rest: for
   * operators.
   */
  readonly holders: () => { readonly connection?: string; readonly process?: string };
  /** All sockets of the network namespace, except those in TIME_WAIT. */
  readonly sockets: readonly TcpSocket[];
}

export interface ActivityOptions {
  readonly processes: GuestProcesses;
  readonly native: Pick<NativeAddon, 'tcpSockets'>;
  /** A connection that nobody is at the other end of: it does not count. */
  readonly isDead: (socket: TcpSocket) => boolean;
  /** Real addresses that are this host's alone (network `flat`). Empty: all of the namespace's are. */
  readonly addresses: readonly number[];
  /** The member that a real address is known to be of. */
  readonly nameOf: (address: number) => string | undefined;
  /** Real port that the supervisor's own connections go to. */
  readonly seedPort: number;
}

/** Connections to the host's own resolver, which is the supervisor. */
const RESOLVER = parseAddress(RESOLVER_ADDRESS)!;

/** Looks without a list of the guests, at most: what a guest starts is found by its parent, or by its session. */
const UNLISTED = 10;

/**
 * @returns look: what is going on, compared with the last look. One that is not thorough costs a fraction: it may take a
 * connection that was handed off meanwhile for nobody's, and has no CPU time where bytes moved
 */
export function watchActivity(options: ActivityOptions): (thorough?: boolean) => Activity {
  const { processes, native } = options;
  const findOwners = watchOwnership();
  /** Undefined: nothing that the next look can be compared with. */
  let before: ReadonlyMap<number, GuestProcess> | undefined;
  let unlisted = 0;
  let traffic = new Map<number, number>();

  return (thorough = true) => {
    const sockets = tcpSockets(native);
    let guests: readonly GuestProcess[] | undefined;
    const list = () => {
      guests ??= processes.list();
      return guests;
    };
    const owners = findOwners(sockets, () => list().map(({ pid }) => pid), thorough);
    const open = connectionsOf(sockets, owners).filter((socket) => !options.isDead(socket));
    const counts = new Map(open.map((socket) => [socket.inode, bytesOf(socket)]));
    const lastTraffic = traffic;
    const mover = open.find(({ inode }) => lastTraffic.get(inode) !== counts.get(inode));
    traffic = counts;
    unlisted += 1;
    if (thorough || !mover || unlisted >= UNLISTED) list();
    if (guests) unlisted = 0;
    const last = before;
    const now = guests && new Map(guests.map((p) => [p.pid, p]));
    const cpu = last && now ? cpuSince(last, now) : 0;
    before = now;
    const queued = sockets
      .filter((socket) => socket.state === LISTEN && owners.has(socket.inode))
      .reduce((sum, socket) => sum + socket.receiveQueue, 0);
    const holders = () => {
      const held = mover ?? open.at(0);
      const ports = sockets.filter(({ state }) => state === LISTEN).map(({ localPort }) => localPort);
      const busiest = last && guests && mostCpu(last, guests);
      return {
        connection: held && connectionHeld(held, owners.get(held.inode), new Set(ports), options.nameOf),
        process: busiest && processName(busiest.pid),
      };
    };
    const closed = () => lastClosed(options);
    return { cpu, connections: open.length, moved: mover !== undefined, queued, closed, holders, sockets };
  };
}

function mostCpu(before: ReadonlyMap<number, GuestProcess>, guests: readonly GuestProcess[]): GuestProcess | undefined {
  const used = ({ pid, cpu }: GuestProcess) => cpu - (before.get(pid)?.cpu ?? 0);
  return guests.length === 0 ? undefined : guests.reduce((most, one) => (used(one) > used(most) ? one : most));
}

function connectionsOf(sockets: readonly TcpSocket[], owners: ReadonlyMap<number, number>): TcpSocket[] {
  const own = sockets.filter((socket) => owners.has(socket.inode) && isOpen(socket) && socket.remote !== RESOLVER);
  const ends = new Set(own.map((s) => `${s.local}:${s.localPort}-${s.remote}:${s.remotePort}`));
  return own.filter((s) => !ends.has(`${s.remote}:${s.remotePort}-${s.local}:${s.localPort}`));
}

/**
 * A connection that the other side has closed (CLOSE_WAIT) holds nothing, unless there is something left to send:
 * clients' pools keep such descriptors for as long as they like.
 */
function isOpen(socket: TcpSocket): boolean {
  if (socket.state === CLOSE_WAIT) return socket.sendQueue > 0;
  return socket.state !== LISTEN && socket.state !== CLOSE;
}

/** CPU time of all guests; that of children which ended between two looks is in their parents' accounts. */
export function cpuSince(before: ReadonlyMap<number, GuestProcess>, now: ReadonlyMap<number, GuestProcess>): number {
  let sum = 0;
  for (const p of now.values()) {
    const last = before.get(p.pid);
    const same = last?.started === p.started ? last : undefined;
    sum += p.cpu - (same?.cpu ?? 0) + p.childrenCpu - (same?.childrenCpu ?? 0);
  }
  for (const p of before.values()) {
    // Its parent's account just took over what was counted as its own.
    if (now.get(p.pid)?.started !== p.started && now.has(p.parent)) sum -= p.cpu + p.childrenCpu;
  }
  return Math.max(0, sum);
}

/** From sockets in TIME_WAIT: of either end, if both are here. */
function lastClosed({ native, addresses, seedPort }: ActivityOptions): number | undefined {
  const own = (address: number) => addresses.includes(address);
  const ages = timeWaitSockets(native)
    .filter((s) => s.remotePort !== seedPort && s.localPort !== seedPort)
    .filter((s) => s.remote !== RESOLVER && s.local !== RESOLVER)
    .filter((s) => (addresses.length > 0 ? own(s.local) !== own(s.remote) : s.local !== s.remote))
    .map((s) => Math.max(0, TIME_WAIT_LENGTH - s.timer));
  return ages.length > 0 ? ages.reduce((least, age) => Math.min(least, age)) : undefined;
}

/**
 * @returns whether guests used more CPU than idle ones do, or started processes, since the last call; what cannot be
 * seen counts as that
 */
export function watchStarting(processes: Pick<GuestProcesses, 'list'>): () => boolean {
  let before = new Map<number, GuestProcess>();
  let last = performance.now();
  return () => {
    try {
      const now = new Map(processes.list().map((p) => [p.pid, p]));
      const elapsed = performance.now() - last;
      const grew = [...now.values()].some((p) => before.get(p.pid)?.started !== p.started);
      const busy = grew || cpuSince(before, now) > elapsed * CPU_THRESHOLD;
      last += elapsed;
      before = now;
      return busy;
    } catch {
      return true;
    }
  };
}
