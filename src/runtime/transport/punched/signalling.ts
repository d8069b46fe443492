/**
 * Signalling channels: a standing connection between the connectors of two members, over which one calls the other for a guest's connection
 * without JavaScript at either side (src/native/connector/signalling.c). Only where both know their ports as others see them.
 */
import { randomBytes } from 'node:crypto';
import type { NatReport } from '../../../contract/peer/peer-messages';
import type { ConnectorOpening } from '../../../native/addon';
import { type Connector, OpeningError } from '../connector';
import { isPredictable } from '../nat/nat';
import { POOL_TTL, POOL_TTL_PASSIVE } from '../pool/pool';
import { portsFor } from './ports';
import type { Other } from './punch';
import { meetingPoint } from './punch-ports';
import type { Punched } from './punched';

export type SignallingTerms = Required<
  Pick<ConnectorOpening, 'send' | 'expect' | 'ownFirst' | 'ownCount' | 'theirFirst' | 'theirCount' | 'ttl'>
>;

export interface Signalling {
  /** Makes one, unless there is one or there cannot be one. */
  open(other: Other): void;
  /** Makes so many connections ready over it: see `Punched.fill`. Undefined: that has to be agreed on in another way. */
  fill(other: Other, count: number, low: number): Promise<number | undefined>;
  /** It has ended. @returns whom it went to */
  lost(address: number): string | undefined;
  /** Whom the one to that address goes to. */
  to(address: number): Other | undefined;
}

export interface SignallingOptions {
  readonly punched: Pick<Punched, 'signalling'>;
  readonly connector: Pick<Connector, 'call'>;
  /** This member's own; waits until it is known. */
  readonly natReport: () => Promise<NatReport>;
  readonly signal: AbortSignal;
}

/** What an end of a signalling channel is given. */
export function terms(end: 'out' | 'in', key: string, mine: NatReport, theirs: NatReport): SignallingTerms {
  const bytes = Buffer.from(key, 'base64');
  const keys = [bytes.subarray(0, 16), bytes.subarray(16)];
  const [send, expect] = end === 'out' ? keys : keys.reverse();
  const [ownFirst, ownCount] = portsFor(mine.ports, 'signalling', end === 'out' ? 'calls' : 'called');
  const [theirFirst, theirCount] = portsFor(theirs.ports, 'signalling', end === 'out' ? 'called' : 'calls');
  const ttl = end === 'out' ? POOL_TTL : POOL_TTL_PASSIVE;
  return { send, expect, ownFirst, ownCount, theirFirst, theirCount, ttl };
}

export function createSignalling({ punched, connector, natReport: reach, signal }: SignallingOptions): Signalling {
  /** By address; those that are being made too. */
  const channels = new Map<number, Other>();

  const forget = (other: Other) => {
    if (channels.get(other.address) === other) channels.delete(other.address);
  };
  const make = async (other: Other) => {
    const mine = await reach();
    // Not now, that is: a host that has just been allocated does not know yet where it is.
    if (!isPredictable(mine) || !isPredictable(other.nat) || meetingPoint(mine, other.nat).near) return forget(other);
    const key = randomBytes(32).toString('base64');
    await punched.signalling(other, key, terms('out', key, mine, other.nat));
  };
  return {
    open: (other) => {
      if (channels.get(other.address)?.epoch === other.epoch) return;
      channels.set(other.address, other);
      // Without it, supervisors agree on each connection; the next one is a reason to try again.
      make(other).catch(() => forget(other));
    },
    fill: async (other, count, low) => {
      if (channels.get(other.address)?.epoch !== other.epoch) return undefined;
      try {
        return await connector.call(other.address, count, low, signal);
      } catch (error) {
        if (error instanceof OpeningError) return undefined;
        throw error;
      }
    },
    lost: (address) => {
      const other = channels.get(address);
      channels.delete(address);
      return other?.host;
    },
    to: (address) => channels.get(address),
  };
}
