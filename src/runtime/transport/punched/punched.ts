/** The transport `punched`: for a guest that waits, for the pool, for peer links and for signalling channels. */
import { randomBytes } from 'node:crypto';
import type { Purpose } from '../../../contract/peer/peer-messages';
import { pause } from '../../pause';
import { type Connector, type Opening, OpeningError } from '../connector';
import { type PeerMember, peerMemberOf } from '../peer-member';
import type { GuestConnect, Transport, TransportResult } from '../transport';
import { type Agreed, PunchError, type Puncher } from './punch';
import { POOL_TTL, type SignallingTerms } from './terms';

export interface PunchedOptions {
  readonly connector: Pick<Connector, 'open' | 'fill'>;
  readonly puncher: Puncher;
  /** A port for a guest that has bound none. */
  readonly guestPort: () => number;
  readonly signal: AbortSignal;
}

/** After a punch that failed, the same epoch is not tried again for so long: relayed meanwhile. */
const RETRY_AFTER = 30_000;
/** The purpose of a connection at this side. */
type Own = Pick<Opening, 'purpose' | 'replyTo' | 'sourcePort'> & Partial<SignallingTerms>;

/**
 * Milliseconds before another try, with other ports: a port is in use, or this member has its share there for the
 * moment.
 */
const PAUSES = [0, 100, 400] as const;

export class Punched implements Transport {
  readonly name = 'punched';
  /** By name of the host: the epoch that a punch has failed with last. */
  readonly #failures = new Map<string, { readonly epoch: number; readonly until: number; readonly reason: string }>();

  constructor(private readonly options: PunchedOptions) {}

  async connect(guest: GuestConnect): Promise<TransportResult> {
    const peer = peerMemberOf(guest);
    if (!peer) return { by: 'none', reason: 'it does not say where it can be met' };
    const problem = this.#problemWith(peer);
    if (problem) return { by: 'none', reason: problem };
    const { replyTo, signal, port } = guest;
    const sourcePort = guest.sourcePort || this.options.guestPort();
    const purpose = { for: 'connection', port, sourcePort } as const;
    try {
      await this.#open(peer, purpose, { purpose: 'give', replyTo, sourcePort }, signal);
      return { by: 'punched' };
    } catch (error) {
      if (!isExpected(error)) throw error;
      const { message: reason, busy } = error;
      const absent = error instanceof PunchError && error.absent;
      if (!signal.aborted && !busy && !absent) {
        const { host, epoch } = peer;
        this.#failures.set(host, { epoch, until: performance.now() + RETRY_AFTER, reason });
      }
      return { by: 'none', reason, ...(absent && { absent }) };
    }
  }

  /**
   * Makes so many connections ready for guests here.
   * @param low their use is reported when so few are left
   * @returns how many it became
   */
  async fill(peer: PeerMember, count: number, low: number): Promise<number> {
    if (this.#problemWith(peer)) return 0;
    const { connector, puncher, signal } = this.options;
    const secrets = randomBytes(32 * count);
    const open = ({ base, ports, to }: Agreed, ending: AbortSignal) =>
      connector.fill({ ...base, purpose: 'poolOut', ttl: POOL_TTL, low }, pairsOf(ports, to), secrets, ending);
    try {
      return await puncher.punch(peer, count, { for: 'pool', secrets: secrets.toString('base64') }, open, signal);
    } catch (error) {
      if (isExpected(error)) return 0;
      throw error;
    }
  }

  /** A connection for the supervisor itself: its descriptor. @throws PunchError or OpeningError */
  async toSupervisor(peer: PeerMember, purpose: Purpose): Promise<number> {
    return this.#openUnlessFailed(peer, purpose, { purpose: 'hand' });
  }

  /**
   * Resolves when there is a signalling channel; its two ends have to be predictable. @throws PunchError or
   * OpeningError
   */
  async signalling(peer: PeerMember, key: string, terms: SignallingTerms): Promise<void> {
    await this.#openUnlessFailed(peer, { for: 'signalling', key }, { purpose: 'signallingOut', ...terms });
  }

  #openUnlessFailed(peer: PeerMember, purpose: Purpose, own: Own): Promise<number> {
    const problem = this.#problemWith(peer);
    if (problem) throw new PunchError(problem);
    return this.#open(peer, purpose, own, this.options.signal);
  }

  async #open(peer: PeerMember, purpose: Purpose, own: Own, signal: AbortSignal): Promise<number> {
    const { connector, puncher } = this.options;
    const open = ({ base, ports, to, proved }: Agreed, ending: AbortSignal) =>
      connector.open({ ...base, ...own, localPort: ports[0], remotePort: to[0] }, ending, proved);
    for (let tries = 1; ; tries++) {
      try {
        return await puncher.punch(peer, 1, purpose, open, signal);
      } catch (error) {
        if (tries > PAUSES.length || !isExpected(error) || !error.busy) throw error;
        await pause(PAUSES[tries - 1], signal);
      }
    }
  }

  #problemWith({ host, epoch }: PeerMember): string | undefined {
    const known = this.#failures.get(host);
    if (known && known.epoch === epoch && known.until > performance.now()) return known.reason;
    this.#failures.delete(host);
    return undefined;
  }
}

const isExpected = (error: unknown): error is PunchError | OpeningError =>
  error instanceof PunchError || error instanceof OpeningError;

/** As `Connector.fill` takes them. */
export function pairsOf(ports: readonly number[], to: readonly number[]): Uint16Array {
  return Uint16Array.from({ length: 2 * ports.length }, (_, i) => (i % 2 ? to : ports)[i >> 1]);
}
