/**
 * How one guest connection is carried. A transport turns "this port of this host, which runs here" into something that a
 * guest's shim can use; the supervisor's shim service is its only caller. `direct.ts` is the first; punched, pooled and
 * relayed ones come beside it. Order of preference is the order of the list given to `openRoute`.
 */
import type { Location } from '../protocol/location';

/** A port of a host that runs and listens. */
export interface Destination {
  readonly location: Location;
  /** The port as guests know it. */
  readonly port: number;
  /** The port that is really bound there. */
  readonly realPort: number;
}

/** What the shim gets: where to connect its own socket to. */
export interface Route {
  readonly transport: 'direct';
  /** Real IPv4 address, as an unsigned integer. */
  readonly real: number;
  readonly realPort: number;
  /** Incarnation of the destination that this route leads to. */
  readonly epoch: number;
}

export interface Transport {
  readonly name: Route['transport'];
  /** A route, or undefined when this transport cannot reach that destination. */
  open(destination: Destination): Route | undefined;
}

/** The first route that one of the transports has. */
export function openRoute(transports: readonly Transport[], destination: Destination): Route | undefined {
  for (const transport of transports) {
    const route = transport.open(destination);
    if (route) return route;
  }
  return undefined;
}
