/** The transport `punched`: for a guest that waits, for the pool, and for direct edges. */
import { randomBytes } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import type { Purpose } from '../../../contract/peer/peer-messages';
import { type Connector, type Opening, OpeningError } from '../connector';
import type { GuestConnect, Transport, TransportResult } from '../transport';
import { type Agreed, type Other, PunchError, type Puncher } from './punch';
import type { SignallingTerms } from './signalling';

export interface PunchedOptions {
  readonly connector: Pick<Connector, 'open' | 'fill'>;
  readonly puncher: Puncher;
  /** A port for a guest that has bound none. */
  readonly guestPort: () => number;
  /** How long a ready connection is kept, in milliseconds. */
  readonly ttl: number;
  readonly signal: AbortSignal;
}

export interface Punched extends Transport {
  readonly name: 'punched';
  /** Makes so many connections ready for guests here; says how many it became. `low`: its use is told when so few are left. */
  fill(other: Other, count: number, low: number): Promise<number>;
  /** A connection for the supervisor itself: its descriptor. @throws PunchError or OpeningError */
  hand(other: Other, purpose: Purpose): Promise<number>;
  /** Resolves when there is a signalling channel; its two ends have to be predictable. @throws PunchError or OpeningError */
  signalling(other: Other, key: string, terms: SignallingTerms): Promise<void>;
}

/** After a punch that failed, the same host is not tried again for so long: relayed meanwhile. */
const RETRY_AFTER = 30_000;
/** What a connection is at this side. */
type Own = Pick<Opening, 'purpose' | 'replyTo' | 'sourcePort'> & Partial<SignallingTerms>;

/** Milliseconds before another try, with other ports: the other side has enough of this member's for the moment, or a port is in use. */
const PAUSES = [0, 100, 400] as const;

export function createPunched({ connector, puncher, guestPort, ttl, signal: closing }: PunchedOptions): Punched {
  const failures = new Map<string, { readonly until: number; readonly reason: string }>();

  const problemWith = ({ host }: Other): string | undefined => {
    const known = failures.get(host);
    if (known && known.until > performance.now()) return known.reason;
    failures.delete(host);
    return undefined;
  };
  const isExpected = (error: unknown): error is PunchError | OpeningError =>
    error instanceof PunchError || error instanceof OpeningError;
  const one = async (other: Other, purpose: Purpose, own: Own, signal: AbortSignal): Promise<number> => {
    const open = ({ base, ports, to }: Agreed, ending: AbortSignal) =>
      connector.open({ ...base, ...own, localPort: ports[0], remotePort: to[0] }, ending);
    for (let tries = 1; ; tries++) {
      try {
        return await puncher.punch(other, 1, purpose, open, signal);
      } catch (error) {
        if (tries > PAUSES.length || !isExpected(error) || !error.busy) throw error;
        await setTimeout(PAUSES[tries - 1], undefined, { signal }).catch(() => undefined);
      }
    }
  };

  return {
    name: 'punched',
    connect: async (guest): Promise<TransportResult> => {
      const other = otherOf(guest);
      if (!other) return { by: 'none', reason: 'it does not say where it can be met' };
      const problem = problemWith(other);
      if (problem) return { by: 'none', reason: problem };
      const { replyTo, signal, port } = guest;
      const sourcePort = guest.sourcePort || guestPort();
      try {
        await one(other, { for: 'connection', port, sourcePort }, { purpose: 'give', replyTo, sourcePort }, signal);
        return { by: 'punched' };
      } catch (error) {
        if (!isExpected(error)) throw error;
        const { message: reason } = error;
        if (!signal.aborted && !error.busy)
          failures.set(other.host, { until: performance.now() + RETRY_AFTER, reason });
        return { by: 'none', reason };
      }
    },
    fill: async (other, count, low) => {
      if (problemWith(other)) return 0;
      const secrets = randomBytes(32 * count);
      const open = ({ base, ports, to }: Agreed, ending: AbortSignal) =>
        connector.fill({ ...base, purpose: 'poolOut', ttl, low }, pairsOf(ports, to), secrets, ending);
      try {
        return await puncher.punch(other, count, { for: 'pool', secrets: secrets.toString('base64') }, open, closing);
      } catch (error) {
        if (isExpected(error)) return 0;
        throw error;
      }
    },
    hand: async (other, purpose) => {
      const problem = problemWith(other);
      if (problem) throw new PunchError(problem);
      return one(other, purpose, { purpose: 'hand' }, closing);
    },
    signalling: async (other, key, terms) => {
      const problem = problemWith(other);
      if (problem) throw new PunchError(problem);
      await one(other, { for: 'signalling', key }, { purpose: 'signallingOut', ...terms }, closing);
    },
  };
}

/** As `Connector.fill` takes them. */
export function pairsOf(ports: readonly number[], to: readonly number[]): Uint16Array {
  return Uint16Array.from({ length: 2 * ports.length }, (_, i) => (i % 2 ? to : ports)[i >> 1]);
}

export function otherOf({ location, address }: Pick<GuestConnect, 'location' | 'address'>): Other | undefined {
  const { nat: reach, host, epoch } = location;
  return reach && { host, epoch, nat: reach, address };
}
