import { parseAddress } from '../../manifest/address';
import type { Destination, Transport } from './transport';

export interface DirectRoute {
  /** Real IPv4 address, as an unsigned integer. */
  readonly real: number;
  readonly realPort: number;
  /** Incarnation of the destination that this route leads to. */
  readonly epoch: number;
}

/** Where a guest's own socket reaches that destination; undefined: it does not. */
export function directRoute({ location, realPort }: Destination): DirectRoute | undefined {
  const real = location.address === undefined ? undefined : parseAddress(location.address);
  return real === undefined ? undefined : { real, realPort, epoch: location.epoch };
}

/** The destination's real address is reachable as it is: the guest connects its own socket to it. */
export const direct: Transport = {
  name: 'direct',
  connect: (guest) => {
    const route = directRoute(guest);
    return route ? { by: 'direct', ...route } : { by: 'none', reason: 'it is not directly reachable' };
  },
};
