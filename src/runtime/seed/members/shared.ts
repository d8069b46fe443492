import type { Manifest } from '../../../contract/manifest';
import type { Log } from '../../control/session-options';
import type { WaitingData } from '../data/waiting-data';
import type { Directory } from '../locate/directory';
import type { Machine } from '../machine/interpreter';
import type { OperatorApi } from '../operators/operator-api';
import type { Prefetch } from '../prefetch/prefetch';
import type { Relay } from '../relay/relay';
import type { Services } from '../services/services';
import type { Barriers } from './barriers';
import type { ClientWatches } from './client-watches';
import type { Clients } from './clients';
import type { Knocks } from './knocks';
import type { Members } from './members';
import type { Membership } from './membership';
import type { Parked } from './parked';
import type { Peer } from './peer';
import type { PortRanges } from './port-ranges';

/** What connections share. */
export interface Shared {
  readonly manifest: Manifest;
  readonly directory: Directory;
  readonly hosts: ReadonlyMap<string, Machine>;
  readonly clients: Clients;
  readonly clientWatches: ClientWatches;
  readonly membership: Membership;
  readonly barriers: Barriers;
  /** Network `flat`: its number. */
  readonly flat: number | undefined;
  readonly members: Members;
  readonly portRanges: PortRanges;
  readonly knocks: Knocks;
  readonly parked: Parked;
  readonly relay: Relay;
  readonly services: Services;
  readonly data: Pick<WaitingData, 'asks'>;
  readonly prefetch: Pick<Prefetch, 'located'>;
  /** A host has answered a client from outside. @throws RangeError when that is no datagram */
  readonly answered: (from: Peer, bytes: Buffer) => void;
  /** What members are told of the cluster's other seed, where there is one. */
  readonly standby: { readonly seed: string; readonly heartbeat: number } | undefined;
  /** Calls back once hosts of an earlier seed have had their time to rejoin: at once where it is over. */
  readonly afterGrace: (act: () => void) => void;
  /** See `World.epochClock`. */
  readonly epochClock: () => number;
  readonly operator: OperatorApi;
  readonly log: Log;
}

/** The host of that name or alias. */
export function machineOf({ directory, hosts }: Shared, name: string): Machine | undefined {
  const found = directory.find(name);
  return found && hosts.get(found.host.name);
}
