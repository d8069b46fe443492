/**
 * What makes a set of processes members of the cluster's network: their table, their listeners, their shims' service.
 * Common to hosts (supervisor.ts) and clients (client.ts); joined to the seed by a session that may come and go.
 */

import { aliasAddress, SANDBOX_ALIASES, type TableSpec } from '../../../contract/abi/table';
import { formatAddress, parseAddress } from '../../../contract/manifest/address';
import { MANIFEST_DEFAULTS } from '../../../contract/manifest/manifest';
import type { NativeAddon } from '../../../native/addon';
import { createGuard } from '../../control/guard';
import type { Session, SessionOptions, Welcome } from '../../control/index';
import { openTransports, type SeedLink, type Transports } from '../../transport';
import { directRoute } from '../../transport/direct/direct';
import { poolMost } from '../../transport/pool/pool-most';
import { createDatagrams, type Datagrams } from '../datagrams/datagrams';
import { createUdpProxies } from '../datagrams/udp-proxies';
import { writeRemaps } from '../files/remaps';
import { createResolver, type Resolver } from '../names/resolver';
import { createListeners, type Listeners, publicPorts } from '../sockets/listeners';
import { type Locations, type OwnPort, openLocations } from '../sockets/locations';
import { createLocator, type Locator } from '../sockets/locator';
import { tcpSockets } from '../sockets/proc-net';
import { openShimService, type ShimService } from '../sockets/shim-service';
import type { Log } from './log';
import type { RunDir } from './run-dir';

export interface MemberOptions {
  readonly native: NativeAddon;
  readonly runDir: RunDir;
  readonly welcome: Welcome;
  /** Network `flat`: its number N. Absent: this member is alone on its loopback interface, and connections are handoff. */
  readonly flat?: number;
  readonly settleTime: number;
  /** See `ListenersOptions.starting`. */
  readonly starting?: () => boolean;
  /** Has the address of a host that runs (or not) elsewhere. */
  readonly asClient: boolean;
  /** The host name that guests see is the kernel's. */
  readonly kernelName?: boolean;
  readonly log: Log;
  readonly onListening?: (port: OwnPort) => void;
}

export type MemberSession = Pick<Session, 'locate' | 'ports' | 'observation' | 'report'> & SeedLink;

export interface Member {
  readonly locations: Locations;
  readonly locator: Locator;
  readonly listeners: Listeners;
  readonly datagrams: Datagrams;
  readonly resolver: Pick<Resolver, 'pending'>;
  /** Datagrams that guests have sent to or received from other hosts so far, modulo 2³². */
  readonly traffic: () => number;
  readonly transports: Transports;
  readonly service: ShimService;
  /** Real addresses that are this member's alone; empty: all that there are. */
  readonly addresses: readonly number[];
  /** Joined: what guests wait for is asked through this session from now on. */
  attach(session: MemberSession): void;
  /** The same session has joined again: it tells what the seed may have missed; what was known may have changed unseen. */
  refresh(): void;
  /** No session for a while: guests' questions wait. */
  detach(): void;
  close(): void;
}

export function tableSpec({ cluster, cidr, self, directory }: Welcome, flat: number | undefined): TableSpec {
  return { cluster, cidr, self, directory, aliases: flat ?? SANDBOX_ALIASES, handoff: flat === undefined };
}

export function createMember(options: MemberOptions): Member {
  const { runDir, welcome, flat } = options;
  const self = parseAddress(welcome.self.address)!;
  const handoff = flat === undefined;
  const aliases = flat ?? SANDBOX_ALIASES;
  const addresses = handoff ? [] : [aliasAddress(aliases, self), aliasAddress(aliases + 1, self)];
  const guard = createGuard(options.log);
  let session: MemberSession | undefined;

  writeRemaps(runDir.path, welcome, welcome.host?.remappedFiles ?? {});
  const locations = openLocations(
    { ...tableSpec(welcome, flat), kernelName: options.kernelName },
    runDir.mapTable,
    (host, address) => transports.drop(host, address),
  );
  const transports = openTransports({
    native: options.native,
    aliasBase: aliasAddress(aliases, 0),
    flat,
    locationAt: (address) => {
      const host = locations.hostAt(address);
      return host === undefined ? undefined : locations.findDatagrams(host, 0)?.location;
    },
    onDatagram: (address, datagram) => udpProxies.deliver(address, datagram),
    poolMost: poolMost(process.env),
    guard,
    onEvent: (event, detail) => {
      options.log('info', event, detail);
      session?.report(event, detail);
    },
  });
  const locator = createLocator();
  const listeners = createListeners({
    settleTime: options.settleTime,
    starting: options.settleTime > 0 ? options.starting : undefined,
    onChange: (ports, settled, settledDatagrams) => {
      locations.setOwnPorts(ports);
      transports.connector.listeners(listenerRows(ports));
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
  const udpProxies = createUdpProxies({
    aliases: aliases,
    self,
    ownPorts: () => listeners.ports,
    send: (address, datagram) => transports.sendDatagram(address, datagram),
    guard,
    log: options.log,
  });
  const datagrams = createDatagrams({
    native: options.native,
    locations,
    locator,
    guard,
    route: (destination, address) =>
      directRoute(flat, address, destination) ?? (handoff ? udpProxies.open(address, destination.port) : undefined),
    nowhere: (address) => aliasAddress(aliases, address),
    log: options.log,
  });
  const resolver = createResolver({ identity: welcome, onOpen: locations.setResolverPorts, guard, log: options.log });
  const limits = new Map(welcome.directory.map(({ name, allocationTimeout }) => [name, allocationTimeout]));
  const service = openShimService({
    native: options.native,
    path: runDir.shimSocket,
    guard,
    locations,
    locator,
    listeners,
    datagrams,
    connect: transports.connect,
    limitOf: (host) => limits.get(host) ?? MANIFEST_DEFAULTS.allocationTimeout,
    connector: transports.connector.native,
    resolver,
    asClient: options.asClient,
    ownReal: aliasAddress(aliases, self),
    log: options.log,
  });

  const refresh = () => {
    locations.forget();
    const seen = handoff ? session?.observation : undefined;
    if (session && seen) transports.joined(session, seen);
    session?.ports(publicPorts(listeners.ports), listeners.settled, listeners.settledDatagrams);
  };

  return {
    locations,
    locator,
    listeners,
    datagrams,
    resolver,
    traffic: runDir.traffic,
    transports,
    service,
    addresses,
    attach: (next) => {
      session = next;
      refresh();
      locator.use(next);
    },
    refresh,
    detach: () => {
      session = undefined;
      locator.use(undefined);
      locations.forget();
      transports.left();
    },
    close: () => {
      session = undefined;
      locator.close('this host is being stopped');
      datagrams.close();
      resolver.close();
      udpProxies.close();
      service.close();
      transports.close();
      listeners.close();
      runDir.remove();
    },
  };
}

/** Handlers of a session for what other members send. */
export function peerMessageHandlers(
  member: () => Member | undefined,
): Pick<SessionOptions, 'onPeerMessage' | 'onUndeliverable' | 'onRelayed'> {
  return {
    onPeerMessage: (from, message) => member()?.transports.peerMessage(from, message),
    onUndeliverable: (_to, id, reason) => id !== undefined && member()?.transports.undeliverable(id, reason),
    onRelayed: (from, token, message) => member()?.transports.relayed(from, token, message),
  };
}

/** What the connector delivers to: streams, from other hosts. */
function listenerRows(ports: readonly OwnPort[]): Uint32Array {
  const open = ports.filter(({ scope, protocol }) => !protocol && (scope === 'any' || scope === 'host'));
  return Uint32Array.from(open.flatMap(({ port, real, realPort }) => [port, real, realPort]));
}
