/**
 * How one guest connection is carried. A transport turns "this port of this host, which runs here" into a connection of
 * the guest's; the supervisor's shim service asks for one through `connectBy`. Order of preference is the order of the
 * list.
 */
import type { Location } from '../../contract/control/location';

/** A port of a host that runs and listens. */
export interface Destination {
  readonly location: Location;
  /** The port as guests know it. */
  readonly port: number;
  /** The port that is really bound there. */
  readonly realPort: number;
}

/** A guest that waits to be connected. */
export interface GuestConnect extends Destination {
  /** Virtual address of the destination. */
  readonly address: number;
  /** The port that it has bound; 0: none. */
  readonly sourcePort: number;
  /**
   * Where its shim waits for the answer. A transport that connects the guest closes it; otherwise the caller owns it.
   */
  readonly replyTo: number;
  /** Aborted: it waits no longer. */
  readonly signal: AbortSignal;
}

export type TransportResult =
  /** Where the shim is to connect the guest's own socket to: a real IPv4 address, as an unsigned integer. */
  | { readonly by: 'direct'; readonly real: number; readonly realPort: number; readonly epoch: number }
  /** Its shim has got a connection. */
  | { readonly by: 'punched' | 'relayed' }
  /** This transport cannot carry it. `absent`: the host is not there, so no other transport can either. */
  | { readonly by: 'none'; readonly reason: string; readonly absent?: boolean };

export interface Transport {
  readonly name: 'direct' | 'punched' | 'relayed';
  /** @param reason why no transport before this one could carry it; empty when there was none */
  connect(guest: GuestConnect, reason: string): TransportResult | Promise<TransportResult>;
}

/** By the first of the transports that can. */
export async function connectBy(transports: readonly Transport[], guest: GuestConnect): Promise<TransportResult> {
  const reasons: string[] = [];
  for (const transport of transports) {
    const result = await transport.connect(guest, reasons.join('; '));
    if (result.by !== 'none') return result;
    if (guest.signal.aborted) return { by: 'none', reason: 'given up by the caller' };
    reasons.push(`${transport.name}: ${result.reason}`);
    if (result.absent) return { by: 'none', reason: reasons.join('; '), absent: true };
  }
  return { by: 'none', reason: reasons.join('; ') };
}
