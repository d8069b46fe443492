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
  /** The processes that may have such connections. */
  readonly guests: () => GuestProcesses;
  readonly log: Log;
}

const FIRST_RETRY = 50;
const LAST_RETRY = 1_000;
/** A guest that has not let go of a dead connection within this time (milliseconds) keeps it. */
const RETRY_LIMIT = 60_000;

export class PeerConnections {
  readonly #options: PeerConnectionsOptions;
  readonly #handoffs;
  /** By virtual address: connections to epochs before this one are dead. */
  readonly #oldest = new Map<number, number>();
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
    if (oldest <= (this.#oldest.get(address) ?? 0)) return;
    this.#oldest.set(address, oldest);
    // Not now: a guest may wait for the very answer that brought this.
    this.#until = performance.now() + RETRY_LIMIT;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#resetDead(FIRST_RETRY), 0);
  }

  /** Open connections, by the virtual address of the other side: the newest epoch of each. */
  open(): ReadonlyMap<number, number> {
    const open = new Map<number, number>();
    for (const { peer, epoch } of this.#alive()) open.set(peer, Math.max(epoch, open.get(peer) ?? 0));
    return open;
  }

  /** This host was frozen: what is between it and its peers may have forgotten its connections. */
  thawed(): void {
    if (this.#handoffs.mark('probe', ({ ended }) => !ended) > 0) this.#tell();
  }

  close(): void {
    clearTimeout(this.#retry);
  }

  /** Those that guests still have, where the kernel tells which. */
  #alive(): Handoff[] {
    const noted = this.#handoffs.list();
    const sockets = noted.length > 0 ? tcpSockets(this.#options.native) : [];
    const cookies = new Set(sockets.map(({ cookie }) => cookie));
    return noted.filter(({ cookie }) => cookies.has(cookie));
  }

  #resetDead(delay: number): void {
    const { log, native } = this.#options;
    const isOver = ({ peer, epoch }: Handoff) => epoch > 0 && epoch < (this.#oldest.get(peer) ?? 0);
    const found = this.#handoffs.mark('ended', isOver);
    const marked = new Set(this.#handoffs.list().flatMap(({ ended, cookie }) => (ended ? cookie : [])));
    const sockets = marked.size > 0 ? tcpSockets(native).filter(({ state }) => state !== CLOSE) : [];
    const left = sockets.filter(({ cookie, inode }) => inode > 0 && cookie !== undefined && marked.has(cookie));
    this.#dead = new Set(left.map(({ cookie }) => cookie!));
    if (found > 0) log('info', 'connections to an epoch that has ended are reset', { connections: found });
    if (left.length > 0) this.#tell(new Set(left.map(({ inode }) => inode)));
    if (performance.now() < this.#until) {
      this.#retry = setTimeout(() => this.#resetDead(Math.min(delay * 2, LAST_RETRY)), delay);
      return;
    }
    if (left.length === 0) return;
    log('warn', 'connections to an epoch that has ended could not be reset', { connections: left.length });
  }

  #tell(inodes?: ReadonlySet<number>): void {
    this.#processes ??= this.#options.guests();
    tellGuests(
      this.#processes.list().map(({ pid }) => pid),
      inodes,
    );
  }
}
