import { parseAddress } from '../../manifest/address';
import type { Transport } from './transport';

/** The destination's real address is reachable as it is: the guest connects its own socket to it. */
export const direct: Transport = {
  name: 'direct',
  open: ({ location, realPort }) => {
    const real = location.address === undefined ? undefined : parseAddress(location.address);
    return real === undefined ? undefined : { transport: 'direct', real, realPort, epoch: location.epoch };
  },
};
