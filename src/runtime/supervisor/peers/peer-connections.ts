/**
 * The guests' open connections with other members: they are reset when the other side's epoch has ended, of which no
 * packet may ever tell, and probed when this host was frozen. Guests alone have their descriptors, so their shims do it.
 */
import type { NativeAddon } from '../../../native/addon';
import type { GuestProcesses } from '../guest/processes';
import type { Log } from '../run/log';
import { CLOSE, type TcpSocket, tcpSockets } from '../sockets/proc-net';
import { tellGuests } from './guest-signal';
import { type Handoff, openHandoffs } from './handoffs';

export interface PeerConnectionsOptions {
  /** The sockets file of the run directory. */
  readonly memory: ArrayBuffer;
  readonly native: Pick<NativeAddon, 'tcpSockets'>;
  /** Whether supervisors make connections at all. On network `flat` guests connect themselves, and nothing is noted. */
  readonly handoff: boolean;
  /** The processes that may have such connections. */
  readonly guests: () => GuestProcesses;
  readonly log: Log;
}

const FIRST_RETRY = 50;
const LAST_RETRY = 1_000;
/** A guest that has not let go of a dead connection within this time (milliseconds) keeps it. */
const RETRY_LIMIT = 60_000;

/** A connection that the kernel has, and how it goes there. */
export type OpenHandoff = Handoff & Pick<TcpSocket, 'sendQueue' | 'lastAck' | 'retransmitted'>;

export function openOf(noted: readonly Handoff[], sockets: readonly TcpSocket[]): OpenHandoff[] {
  const found = new Map(sockets.map((socket) => [socket.cookie, socket]));
  return noted.flatMap((handoff) => {
    const socket = found.get(handoff.cookie);
    if (!socket) return [];
    const { sendQueue, lastAck, retransmitted } = socket;
    return { ...handoff, sendQueue, lastAck, retransmitted };
  });
}

export class PeerConnections {
  readonly #options: PeerConnectionsOptions;
  readonly #handoffs;
  /** By virtual address: connections to epochs before this one are dead. */
  readonly #oldest = new Map<number, number>();
  /** Cookies of connections that were found dead, though nobody's epoch has ended. */
  readonly #lost = new Set<number>();
  /** Cookies of dead connections that guests have not let go of. */
  #dead: ReadonlySet<number> = new Set();
  #retry: NodeJS.Timeout | undefined;
  /** `performance.now()` after which nothing is tried again. */
  #until = 0;
  #processes: GuestProcesses | undefined;

  constructor(options: PeerConnectionsOptions) {
    this.#options = options;
    this.#handoffs = openHandoffs(options.memory);
  }

  /** Whether that socket is a connection to an epoch that has ended. */
  isDead({ cookie }: Pick<TcpSocket, 'cookie'>): boolean {
    return cookie !== undefined && this.#dead.has(cookie);
  }

  /** Guests of epochs before `oldest` of the member at that virtual address have ended. */
  ended(address: number, oldest: number): void {
    if (!this.#options.handoff || oldest <= (this.#oldest.get(address) ?? 0)) return;
    this.#oldest.set(address, oldest);
    this.#resetSoon();
  }

  /** Nothing gets through on these connections any more. */
  lost(cookies: Iterable<number>): void {
    for (const cookie of cookies) this.#lost.add(cookie);
    if (this.#lost.size > 0) this.#resetSoon();
  }

  /** Open connections, by the virtual address of the other side: the newest epoch of each. */
  open(): ReadonlyMap<number, number> {
    const open = new Map<number, number>();
    for (const { peer, epoch } of this.alive()) open.set(peer, Math.max(epoch, open.get(peer) ?? 0));
    return open;
  }

  /** The client at that virtual address is there no more. */
  clientGone(address: number): void {
    this.lost(this.alive().flatMap(({ peer, epoch, cookie }) => (peer === address && epoch === 0 ? cookie : [])));
  }

  /** Cookies of the open connections with the member at that address, with the epoch of each. */
  with(address: number): ReadonlyMap<number, number> {
    const found = this.alive().filter(({ peer }) => peer === address);
    return new Map(found.map(({ cookie, epoch }) => [cookie, epoch]));
  }

  /**
   * Sends a probe on each of these connections: what is between the two sides may have forgotten it, or never answers.
   * Where data waits for an acknowledgement the kernel does not: it sends that again. Only the processes that have one of
   * them get a signal, where the kernel tells which.
   */
  probe(which: (handoff: Handoff) => boolean = () => true): void {
    const wanted = (handoff: Handoff) => !handoff.ended && which(handoff);
    const noted = new Set(this.#handoffs.list().flatMap((handoff) => (wanted(handoff) ? handoff.cookie : [])));
    const sockets = noted.size > 0 ? tcpSockets(this.#options.native) : [];
    const tells = sockets.some(({ cookie }) => cookie !== undefined);
    const open = sockets.filter(({ inode, cookie }) => inode > 0 && cookie !== undefined && noted.has(cookie));
    const left = tells ? new Set(open.map(({ cookie }) => cookie!)) : noted;
    if (this.#handoffs.mark('probe', (handoff) => wanted(handoff) && left.has(handoff.cookie)) === 0) return;
    this.#tell(tells ? new Set(open.map(({ inode }) => inode)) : undefined);
  }

  /** Those that the kernel still has, where it tells which. A guest may have closed its end already. */
  alive(): readonly OpenHandoff[] {
    const noted = this.noted();
    return noted.length > 0 ? openOf(noted, tcpSockets(this.#options.native)) : [];
  }

  /** Connections that shims have noted, and that are not marked as ended. The kernel may have closed them. */
  noted(): readonly Handoff[] {
    return this.#handoffs.list().filter(({ ended }) => !ended);
  }

  close(): void {
    clearTimeout(this.#retry);
  }

  #resetSoon(): void {
    // Not now: a guest may wait for the very answer that brought this.
    this.#until = performance.now() + RETRY_LIMIT;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#resetDead(FIRST_RETRY), 0);
  }

  #resetDead(delay: number): void {
    const { log, native } = this.#options;
    const isOver = ({ peer, epoch, cookie }: Handoff) =>
      (epoch > 0 && epoch < (this.#oldest.get(peer) ?? 0)) || this.#lost.has(cookie);
    const found = this.#handoffs.mark('ended', isOver);
    const marked = new Set(this.#handoffs.list().flatMap(({ ended, cookie }) => (ended ? cookie : [])));
    const sockets = marked.size > 0 ? tcpSockets(native).filter(({ state }) => state !== CLOSE) : [];
    const left = sockets.filter(({ cookie, inode }) => inode > 0 && cookie !== undefined && marked.has(cookie));
    this.#dead = new Set(left.map(({ cookie }) => cookie!));
    if (found > 0) log('info', 'connections that nobody is at the other end of are reset', { connections: found });
    if (left.length > 0) this.#tell(new Set(left.map(({ inode }) => inode)));
    if (performance.now() < this.#until) {
      this.#retry = setTimeout(() => this.#resetDead(Math.min(delay * 2, LAST_RETRY)), delay);
      return;
    }
    this.#lost.clear();
    if (left.length === 0) return;
    log('warn', 'connections that nobody is at the other end of could not be reset', { connections: left.length });
  }

  #tell(inodes?: ReadonlySet<number>): void {
    this.#processes ??= this.#options.guests();
    tellGuests(
      this.#processes.list().map(({ pid }) => pid),
      inodes,
    );
  }
}
