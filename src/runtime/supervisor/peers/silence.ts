/**
 * Where data is sent again and again and nobody acknowledges it, the path may be gone: a NAT has forgotten it, or has
 * another address. Of the connection to the seed this member makes a new one. Of a guests' connection the other side is
 * asked, through the seed: if it is there, both sides look which of their connections have survived (survival.ts). So a
 * side that only waits for an answer, and has sent nothing, hears of it too.
 *
 * A host that is suspended does not acknowledge either, which is no silence: waiting-data.ts.
 */

import type { NativeAddon } from '../../../native/addon';
import { spacing } from '../../spacing';
import { type TcpSocket, unacknowledgedSockets } from '../sockets/proc-net';
import { type OpenHandoff, openOf, type PeerConnections } from './peer-connections';
import type { PeerId } from './survival';

export interface SilenceOptions {
  readonly peers: Pick<PeerConnections, 'noted'>;
  readonly native: Pick<NativeAddon, 'tcpSockets'>;
  /** Whether the member is to acknowledge what it is sent: a host that is suspended is not. */
  readonly answers: (peer: PeerId) => boolean;
  /** Whether the socket is this member's connection to the seed. */
  readonly isControl: (socket: TcpSocket) => boolean;
  /** Called again and again while nothing is acknowledged. */
  readonly onSilent: (peer: PeerId) => void;
  /** The seed acknowledges nothing. */
  readonly onSeedSilent: () => void;
}

const INTERVAL = 1_000;
/** Where looking is dear (thousands of sockets), look less often: 1 % of the time. */
const SHARE = 0.01;
/** Nothing is acknowledged for so many milliseconds and in so many looks: after a standstill of our own one look is due. */
const PATIENCE = 1_500;
const LOOKS = 2;
const SEED_PATIENCE = 3_500;
const SEED_LOOKS = 4;
/** The other side is asked again when so many milliseconds have passed. */
const AGAIN = 2_500;

/** A socket whose data waits for an acknowledgement. */
interface Waiting {
  readonly since: number;
  readonly looks: number;
}

export class Silence {
  readonly #options: SilenceOptions;
  /** By cookie. */
  #waiting = new Map<number, Waiting>();
  /** By member, as text: when it was asked last. */
  readonly #asked = new Map<string, number>();
  readonly #space = spacing(SHARE);
  #timer: NodeJS.Timeout;

  constructor(options: SilenceOptions) {
    this.#options = options;
    this.#timer = setTimeout(this.#look, INTERVAL).unref();
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  readonly #look = (): void => {
    const start = performance.now();
    this.#lookAt(start);
    const cost = performance.now() - start;
    this.#timer = setTimeout(this.#look, this.#space(cost, INTERVAL)).unref();
  };

  #lookAt(now: number): void {
    const { peers, native, isControl, onSeedSilent } = this.#options;
    const sockets = unacknowledgedSockets(native);
    const control = sockets.find(isControl);
    const open = openOf(peers.noted(), sockets);
    const waiting = new Map<number, Waiting>();
    for (const one of control ? [...open, control] : open) {
      const found = this.#waitingOf(one, now);
      if (found) waiting.set(one.cookie!, found);
    }
    this.#waiting = waiting;
    for (const [peer, asked] of this.#asked) if (now - asked > AGAIN) this.#asked.delete(peer);
    const isSilent = ({ cookie }: Socket, patience: number, looks: number) => {
      const found = waiting.get(cookie!);
      return found !== undefined && found.looks >= looks && now - found.since >= patience;
    };
    for (const connection of open) if (isSilent(connection, PATIENCE, LOOKS)) this.#ask(connection, now);
    if (!control || !isSilent(control, SEED_PATIENCE, SEED_LOOKS)) return;
    waiting.delete(control.cookie!);
    onSeedSilent();
  }

  #waitingOf({ cookie, sendQueue, lastAck }: Socket, now: number): Waiting | undefined {
    if (cookie === undefined || lastAck === undefined || sendQueue === 0) return undefined;
    const before = this.#waiting.get(cookie);
    if (before && lastAck > now - before.since) return { ...before, looks: before.looks + 1 };
    return { since: now, looks: 1 };
  }

  #ask({ peer: address, epoch }: OpenHandoff, now: number): void {
    const peer = { address, client: epoch === 0 };
    const key = `${address} ${peer.client}`;
    if (this.#asked.has(key) || !this.#options.answers(peer)) return;
    this.#asked.set(key, now);
    this.#options.onSilent(peer);
  }
}

type Socket = Pick<TcpSocket, 'cookie' | 'sendQueue' | 'lastAck'>;
