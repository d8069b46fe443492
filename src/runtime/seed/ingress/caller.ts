/** One connection of a client from outside, from its accept to its end. */
import type { Endpoint } from '../../../contract/peer/peer-messages';
import type { Machine } from '../machine/interpreter';
import type { Destination } from './destinations';
import type { ExposedPort } from './exposed-port';

export interface Caller {
  /** Its number at the data port. One whose TLS ends here has another one once its handshake is over. */
  id: number;
  readonly client: Endpoint;
  /** The port that it has connected to. */
  readonly port: number;
  /** Which exposed host it is for, once that is known: it is counted among that one's connections. */
  exposed?: ExposedPort;
  /** Its TLS ends here: it is counted among those connections until its own is over. */
  tls?: boolean;
  /** Its locate that is open. */
  locate?: number;
  /** Until when it waits for the host. */
  timer?: NodeJS.Timeout;
  /** Where it goes. */
  to?: Destination;
  /** The host that it may cause an allocation of: one is counted. */
  counted?: Machine;
}

/** Its name in events, and as what the machines know it: each client has budgets of its own. */
export const nameOf = ({ client }: { readonly client: Pick<Endpoint, 'address'> }): string =>
  `ingress ${client.address}`;
