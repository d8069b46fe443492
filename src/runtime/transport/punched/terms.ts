/** Constants and keys that the two sides of pooled connections and of signalling channels share. */
import type { NatReport } from '../../../contract/peer/peer-messages';
import type { ConnectorOpening } from '../../../native/addon';
import { portsFor } from './ports';

/**
 * How long a ready connection is kept: well below the time for which NATs keep a quiet one (AWS's NAT gateway: 350 s).
 */
export const POOL_TTL = 30_000;
/** The side that waits for a header keeps its end longer, so that it never ends under one. */
export const POOL_TTL_PASSIVE = POOL_TTL + 10_000;

export type SignallingTerms = Required<
  Pick<ConnectorOpening, 'send' | 'expect' | 'ownFirst' | 'ownCount' | 'theirFirst' | 'theirCount' | 'ttl'>
>;

/** The keys and ports of one end of a signalling channel. */
export function signallingTerms(end: 'out' | 'in', key: string, mine: NatReport, theirs: NatReport): SignallingTerms {
  const bytes = Buffer.from(key, 'base64');
  const keys = [bytes.subarray(0, 16), bytes.subarray(16)];
  const [send, expect] = end === 'out' ? keys : keys.reverse();
  const [ownFirst, ownCount] = portsFor(mine.ports, 'signalling', end === 'out' ? 'calls' : 'called');
  const [theirFirst, theirCount] = portsFor(theirs.ports, 'signalling', end === 'out' ? 'called' : 'calls');
  const ttl = end === 'out' ? POOL_TTL : POOL_TTL_PASSIVE;
  return { send, expect, ownFirst, ownCount, theirFirst, theirCount, ttl };
}
