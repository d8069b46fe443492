/**
 * What makes a set of processes members of the cluster's network: their table, their listeners, their shims' service.
 * Common to hosts (supervisor.ts) and clients (client.ts); joined to the seed by a session that may come and go.
 */
import { formatAddress, parseAddress } from '../../manifest/address';
import type { NativeAddon } from '../../native';
import type { Session, Welcome } from '../control/client';
import { flatAddress, loopbackOf } from '../protocol/table';
import { direct } from '../transport/direct';
import { type Asks, createAsks } from './asks';
import { createDatagrams, type Datagrams } from './datagrams';
import { createListeners, type Listeners, publicPorts } from './listeners';
import { type Locations, type OwnPort, openLocations } from './locations';
import type { Log } from './log';
import { tcpSockets } from './proc-net';
import { writeRemaps } from './remaps';
import type { RunDir } from './run-dir';
import { openShimService, type ShimService } from './shim-service';

export interface MemberOptions {
  readonly native: NativeAddon;
  readonly runDir: RunDir;
  readonly welcome: Welcome;
  /** Network `flat`: its number N. */
  readonly flat?: number;
  readonly settleTime: number;
  /** Has the address of a host that runs (or not) elsewhere. */
  readonly visitor: boolean;
  readonly log: Log;
  readonly onListening?: (port: OwnPort) => void;
}

export interface Member {
  readonly locations: Locations;
  readonly asks: Asks;
  readonly listeners: Listeners;
  readonly datagrams: Datagrams;
  /** Datagrams that guests have sent to or received from other hosts so far, modulo 2³². */
  readonly traffic: () => number;
  readonly service: ShimService;
  /** Real addresses that are this member's alone. */
  readonly addresses: readonly number[];
  /** Joined: what guests wait for is asked through this session from now on. */
  attach(session: Pick<Session, 'ask' | 'ports'>): void;
  /** The same session has joined again: it tells what the seed may have missed; what was known may have changed unseen. */
  refresh(): void;
  /** No session for a while: guests' questions wait. */
  detach(): void;
  close(): void;
}

export function createMember(options: MemberOptions): Member {
  const { runDir, welcome, flat } = options;
  const self = parseAddress(welcome.self.address)!;
  const addresses = flat === undefined ? [] : [flatAddress(flat, self), flatAddress(flat + 1, self)];
  let session: Pick<Session, 'ask' | 'ports'> | undefined;

  writeRemaps(runDir.path, welcome, welcome.host?.remappedFiles ?? {});
  const locations = openLocations(
    { cluster: welcome.cluster, cidr: welcome.cidr, self: welcome.self, directory: welcome.directory, flat },
    runDir.mapTable,
  );
  const asks = createAsks();
  const listeners = createListeners({
    settleTime: options.settleTime,
    onChange: (ports, settled, settledDatagrams) => {
      locations.setOwnPorts(ports);
      session?.ports(publicPorts(ports), settled, settledDatagrams);
    },
    sockets: () => tcpSockets(options.native),
    onListening: (port) => {
      const { port: number, realPort, scope, real, protocol } = port;
      options.log('info', `a guest listens on ${protocol === 'udp' ? 'UDP ' : ''}port ${number}`, {
        port: number,
        real: scope === 'loopback6' ? '::1' : formatAddress(real),
        realPort,
        scope,
      });
      options.onListening?.(port);
    },
  });
  const datagrams = createDatagrams({
    native: options.native,
    locations,
    asks,
    transports: [direct],
    nowhere: (address) => (flat === undefined ? undefined : flatAddress(flat, address)),
    log: options.log,
  });
  const service = openShimService({
    native: options.native,
    path: runDir.shimSocket,
    locations,
    asks,
    listeners,
    datagrams,
    transports: [direct],
    visitor: options.visitor,
    ownReal: flat === undefined ? loopbackOf(undefined, self) : flatAddress(flat, self),
    log: options.log,
  });

  const refresh = () => {
    locations.forget();
    session?.ports(publicPorts(listeners.ports), listeners.settled, listeners.settledDatagrams);
  };

  return {
    locations,
    asks,
    listeners,
    datagrams,
    traffic: runDir.traffic,
    service,
    addresses,
    attach: (next) => {
      session = next;
      refresh();
      asks.use(next);
    },
    refresh,
    detach: () => {
      session = undefined;
      asks.use(undefined);
      locations.forget();
    },
    close: () => {
      session = undefined;
      asks.close('this host is being stopped');
      datagrams.close();
      service.close();
      listeners.close();
      runDir.remove();
    },
  };
}
