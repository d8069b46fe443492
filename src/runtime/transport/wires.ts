/**
 * Wires: a standing connection between the carriers of two members, over which one calls the other for a guest's connection
 * without JavaScript at either side (src/native/carrier/wire.c). Only where both know their ports as others see them.
 */
import { randomBytes } from 'node:crypto';
import type { CarrierOpening } from '../../native';
import type { Reach } from '../protocol/rendezvous';
import { type Carrier, OpeningError } from './carrier';
import { meetingPoint } from './doors';
import { POOL_TTL, POOL_TTL_PASSIVE } from './pool';
import { portsFor } from './ports';
import type { Other } from './punch';
import type { Punched } from './punched';
import { isPredictable } from './reach';

export type WireTerms = Required<
  Pick<CarrierOpening, 'send' | 'expect' | 'ownFirst' | 'ownCount' | 'theirFirst' | 'theirCount' | 'ttl'>
>;

export interface Wires {
  /** Makes one, unless there is one or there cannot be one. */
  open(other: Other): void;
  /** Makes so many connections ready over it: see `Punched.fill`. Undefined: that has to be agreed on in another way. */
  fill(other: Other, count: number, low: number): Promise<number | undefined>;
  /** It has ended. @returns whom it went to */
  lost(address: number): string | undefined;
  /** Whom the one to that address goes to. */
  to(address: number): Other | undefined;
}

export interface WiresOptions {
  readonly punched: Pick<Punched, 'wire'>;
  readonly carrier: Pick<Carrier, 'call'>;
  /** This member's own; waits until it is known. */
  readonly reach: () => Promise<Reach>;
  readonly signal: AbortSignal;
}

/** What an end of a wire is given. */
export function terms(end: 'out' | 'in', key: string, mine: Reach, theirs: Reach): WireTerms {
  const bytes = Buffer.from(key, 'base64');
  const keys = [bytes.subarray(0, 16), bytes.subarray(16)];
  const [send, expect] = end === 'out' ? keys : keys.reverse();
  const [ownFirst, ownCount] = portsFor(mine.ports, 'wire', end === 'out' ? 'asks' : 'asked');
  const [theirFirst, theirCount] = portsFor(theirs.ports, 'wire', end === 'out' ? 'asked' : 'asks');
  const ttl = end === 'out' ? POOL_TTL : POOL_TTL_PASSIVE;
  return { send, expect, ownFirst, ownCount, theirFirst, theirCount, ttl };
}

export function createWires({ punched, carrier, reach, signal }: WiresOptions): Wires {
  /** By address; those that are being made too. */
  const wires = new Map<number, Other>();

  const forget = (other: Other) => {
    if (wires.get(other.address) === other) wires.delete(other.address);
  };
  const make = async (other: Other) => {
    const mine = await reach();
    // Not now, that is: a host that has just been allocated does not know yet where it is.
    if (!isPredictable(mine) || !isPredictable(other.reach) || meetingPoint(mine, other.reach).near)
      return forget(other);
    const key = randomBytes(32).toString('base64');
    await punched.wire(other, key, terms('out', key, mine, other.reach));
  };
  return {
    open: (other) => {
      if (wires.get(other.address)?.epoch === other.epoch) return;
      wires.set(other.address, other);
      // Without it, supervisors agree on each connection; the next one is a reason to try again.
      make(other).catch(() => forget(other));
    },
    fill: async (other, count, low) => {
      if (wires.get(other.address)?.epoch !== other.epoch) return undefined;
      try {
        return await carrier.call(other.address, count, low, signal);
      } catch (error) {
        if (error instanceof OpeningError) return undefined;
        throw error;
      }
    },
    lost: (address) => {
      const other = wires.get(address);
      wires.delete(address);
      return other?.host;
    },
    to: (address) => wires.get(address),
  };
}
