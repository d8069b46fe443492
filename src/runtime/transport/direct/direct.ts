import { aliasAddress } from '../../../contract/abi/table';
import { parseAddress } from '../../../contract/manifest/address';
import type { Destination, Transport } from '../transport';

export interface DirectRoute {
  /** Real IPv4 address, as an unsigned integer. */
  readonly real: number;
  readonly realPort: number;
  /** Epoch of the destination that this route leads to. */
  readonly epoch: number;
}

/**
 * Where a guest's own socket reaches that destination; undefined: it does not. Only on network `flat`, and there only
 * at the address that follows from the virtual one: on any other, a loopback address would lead back into this sandbox.
 *
 * @param flat number of the network; undefined: it is not flat
 * @param address virtual address of the destination
 */
export function directRoute(
  flat: number | undefined,
  address: number,
  { location, realPort }: Pick<Destination, 'location' | 'realPort'>,
): DirectRoute | undefined {
  if (flat === undefined || location.address === undefined) return undefined;
  const real = aliasAddress(flat, address);
  return parseAddress(location.address) === real ? { real, realPort, epoch: location.epoch } : undefined;
}

/** The destination's real address is reachable as it is: the guest connects its own socket to it. */
export function createDirect(flat: number | undefined): Transport {
  return {
    name: 'direct',
    connect: (guest) => {
      const route = directRoute(flat, guest.address, guest);
      return route ? { by: 'direct', ...route } : { by: 'none', reason: 'it is not directly reachable' };
    },
  };
}
