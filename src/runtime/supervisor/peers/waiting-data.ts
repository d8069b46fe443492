/**
 * What moves on guests' connections with hosts that are suspended: the seed is to wake the host. Nobody acknowledges it
 * there; but between the host's last look and its freeze its kernel still does, and so what counts is that something has
 * moved since the location said `suspended`. Looked for only while a host sleeps that guests here have connections with:
 * a new one would wake it. Once it is awake, data that is sent again and again and never acknowledged means that the
 * connection is lost.
 */

import type { NativeAddon } from '../../../native/addon';
import { spacing } from '../../spacing';
import { type TcpSocket, tcpSockets } from '../sockets/proc-net';
import type { PeerConnections } from './peer-connections';

export interface WaitingDataOptions {
  readonly peers: Pick<PeerConnections, 'with'>;
  readonly native: Pick<NativeAddon, 'tcpSockets'>;
  /** Called again and again while they wait. */
  readonly onData: (address: number, epoch: number) => void;
  /** Nothing gets through on that connection any more. */
  readonly onLost: (cookie: number) => void;
}

const INTERVAL = 50;
const SUSPECTS_INTERVAL = 500;
/** Where looking is dear (thousands of sockets), look less often: 1 % of the time. */
const SHARE = 0.01;
/** The seed has heard it: it is told again when this did not help. */
const AGAIN = 250;

/** States after the end of the stream was sent, which counts as a byte: FIN_WAIT1, FIN_WAIT2, LAST_ACK, CLOSING. */
const ENDED: ReadonlySet<number> = new Set([4, 5, 9, 11]);

/** A host is awake: so many retransmissions without an answer, and so many milliseconds, and the connection is lost. */
const RETRANSMISSIONS = 2;
const PATIENCE = 2_000;

/** A connection with a host that has slept: it may not have survived that. */
interface Suspect {
  readonly bytes: number;
  readonly retransmitted: number;
  readonly since: number;
}

interface Sleeper {
  /** By cookie: the epoch of its other side, and the bytes that had moved when it fell asleep. */
  readonly connections: ReadonlyMap<number, { readonly epoch: number; readonly moved: number }>;
  /** When the seed was told last. */
  told: number;
}

export class WaitingData {
  readonly #options: WaitingDataOptions;
  /** By virtual address. */
  readonly #asleep = new Map<number, Sleeper>();
  /** By cookie, until an answer comes. */
  readonly #suspects = new Map<number, Suspect>();
  #timer: NodeJS.Timeout | undefined;
  /** When the timer is due. */
  #due = 0;
  readonly #space = spacing(SHARE);

  constructor(options: WaitingDataOptions) {
    this.#options = options;
  }

  /** The host at that virtual address is suspended, or is not. */
  sleeps(address: number, asleep: boolean): void {
    const slept = this.#asleep.get(address);
    this.#asleep.delete(address);
    if (!asleep) this.#suspect(slept);
    const epochs = asleep ? this.#options.peers.with(address) : new Map<number, number>();
    if (epochs.size === 0) return;
    for (const cookie of epochs.keys()) this.#suspects.delete(cookie);
    // What is under way already arrives in time for the host's last look, or waits.
    const now = this.#sockets();
    const connections = new Map(
      [...epochs].map(([cookie, epoch]) => [cookie, { epoch, moved: now.get(cookie)?.bytes ?? 0 }]),
    );
    this.#asleep.set(address, { connections, told: Number.NEGATIVE_INFINITY });
    this.#lookIn(INTERVAL);
  }

  /**
   * Whether something has moved for a host that sleeps; the seed is told. To be asked before this very host is frozen:
   * nobody looks after that, and both would sleep over it.
   */
  waits(): boolean {
    return this.#asleep.size > 0 && this.#tell(this.#sockets(), performance.now());
  }

  close(): void {
    this.#asleep.clear();
    this.#suspects.clear();
    clearTimeout(this.#timer);
  }

  readonly #look = (): void => {
    this.#timer = undefined;
    if (this.#asleep.size + this.#suspects.size === 0) return;
    const start = performance.now();
    const sockets = this.#sockets();
    this.#judge(sockets, start);
    this.#tell(sockets, start);
    const cost = performance.now() - start;
    const interval = this.#asleep.size > 0 ? INTERVAL : SUSPECTS_INTERVAL;
    this.#lookIn(this.#space(cost, interval));
  };

  /** No later than that, in milliseconds: the timer may run for something that has more time. */
  #lookIn(delay: number): void {
    const due = performance.now() + delay;
    if (this.#timer && this.#due <= due) return;
    clearTimeout(this.#timer);
    this.#due = due;
    this.#timer = setTimeout(this.#look, delay);
  }

  /** @returns whether there was something to tell */
  #tell(sockets: ReadonlyMap<number, TcpSocket>, start: number): boolean {
    const now = new Map([...sockets].map(([cookie, socket]) => [cookie, moved(socket)]));
    let any = false;
    for (const [address, sleeper] of this.#asleep) {
      const moves = ([cookie, { moved }]: [number, { moved: number }]) => (now.get(cookie) ?? 0) > moved;
      const found = [...sleeper.connections].find(moves);
      if (!found) continue;
      any = true;
      if (start - sleeper.told < AGAIN) continue;
      sleeper.told = start;
      this.#options.onData(address, found[1].epoch);
    }
    return any;
  }

  #suspect(slept: Sleeper | undefined): void {
    if (!slept) return;
    const sockets = this.#sockets();
    const since = performance.now();
    for (const cookie of slept.connections.keys()) {
      const { bytes = 0, retransmitted = 0 } = sockets.get(cookie) ?? {};
      this.#suspects.set(cookie, { bytes, retransmitted, since });
    }
  }

  #judge(sockets: ReadonlyMap<number, TcpSocket>, now: number): void {
    for (const [cookie, { bytes, retransmitted, since }] of this.#suspects) {
      const socket = sockets.get(cookie);
      if (!socket || (socket.bytes ?? 0) > bytes) this.#suspects.delete(cookie);
      else if ((socket.retransmitted ?? 0) - retransmitted >= RETRANSMISSIONS && now - since > PATIENCE) {
        this.#suspects.delete(cookie);
        this.#options.onLost(cookie);
      }
    }
  }

  #sockets(): Map<number, TcpSocket> {
    const sockets = tcpSockets(this.#options.native);
    return new Map(sockets.flatMap((socket) => (socket.cookie === undefined ? [] : [[socket.cookie, socket]])));
  }
}

/**
 * Bytes that were ever written or have arrived: acknowledged or not. An end without data wakes nobody: whoever wakes
 * later finds out.
 */
function moved({ bytes = 0, sendQueue, state }: TcpSocket): number {
  return bytes + sendQueue - (ENDED.has(state) ? 1 : 0);
}
