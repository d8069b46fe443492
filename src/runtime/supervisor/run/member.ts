/**
 * What makes a set of processes members of the cluster's network: their table, their listeners, their shims' service.
 * Common to hosts (supervisor.ts) and clients (client.ts); joined to the seed by a session that may come and go.
 */

import { aliasAddress, SANDBOX_ALIASES, type TableSpec } from '../../../contract/abi/table';
import type { PortMapping } from '../../../contract/control/location';
import type { ReportedEvent } from '../../../contract/control/to-seed';
import { formatAddress, parseAddress } from '../../../contract/manifest/address';
import { HOST_LIMITS } from '../../../contract/manifest/limits';
import type { Sender } from '../../../contract/peer/peer-messages';
import type { NativeAddon } from '../../../native/addon';
import { createGuard, type Guard } from '../../control/guard';
import type { Coordination, Session, Welcome } from '../../control/index';
import { openTransports, type SeedLink, type Transports } from '../../transport';
import { directRoute } from '../../transport/direct/direct';
import { poolMost } from '../../transport/pool/pool-most';
import { Datagrams } from '../datagrams/datagrams';
import { OutsideClients } from '../datagrams/outside-clients';
import { createUdpProxies, type UdpProxies } from '../datagrams/udp-proxies';
import { writeRemaps } from '../files/remaps';
import { MembershipStreams } from '../membership/streams';
import { createResolver, type Resolver } from '../names/resolver';
import { Partners, type PartnersSession } from '../peers/partners';
import { PeerConnections } from '../peers/peer-connections';
import { Load, openByPeer } from '../services/load';
import { Places } from '../services/places';
import { Services } from '../services/services';
import { ExpectedHosts } from '../sockets/expected-hosts';
import { createListeners, type Listeners, publicPorts } from '../sockets/listeners';
import { type Locations, type OwnPort, openLocations } from '../sockets/locations';
import { Locator } from '../sockets/locator';
import { tcpSockets } from '../sockets/proc-net';
import { Rehearsals } from '../sockets/rehearsals';
import { ShimService } from '../sockets/shim-service';
import type { Log } from './log';
import type { RunDir } from './run-dir';

export interface MemberOptions {
  readonly native: NativeAddon;
  readonly runDir: RunDir;
  readonly welcome: Welcome;
  /**
   * Network `flat`: its number N. Absent: this member is alone on its loopback interface, and connections are handoff.
   */
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
  /** Others are not told of ports before `publishPorts`. */
  readonly unpublished?: boolean;
  /** Called with each session's coordination service. */
  readonly onCoordination?: (coordination: Coordination) => void;
}

export type MemberSession = Pick<Session, 'locate' | 'ports' | 'observation' | 'report' | 'services' | 'used'> &
  PartnersSession &
  SeedLink &
  Partial<Pick<Session, 'sendOutside'>> & { readonly coordination?: Coordination };

export function tableSpec({ cluster, cidr, self, directory }: Welcome, flat: number | undefined): TableSpec {
  return { cluster, cidr, self, directory, aliases: flat ?? SANDBOX_ALIASES, handoff: flat === undefined };
}

export class Member {
  readonly locations: Locations;
  readonly locator = new Locator();
  readonly listeners: Listeners;
  readonly datagrams: Datagrams;
  readonly resolver: Resolver;
  readonly transports: Transports;
  readonly service: ShimService;
  readonly peers: PeerConnections;
  readonly partners: Partners;
  readonly membership: MembershipStreams;
  readonly services: Services;
  readonly outside: OutsideClients;
  /** Real addresses that are this member's alone; empty: all that there are. */
  readonly addresses: readonly number[];
  readonly #options: MemberOptions;
  readonly #guard: Guard;
  readonly #self: number;
  /** Begins the loopback aliases. */
  readonly #aliases: number;
  readonly #udpProxies: UdpProxies;
  /** Undefined on network `flat`, and where there are no services. */
  #places: Places | undefined;
  /** Undefined: it is in no service. */
  readonly #load: Load | undefined;
  #session: MemberSession | undefined;
  /** Before, there was nothing to be missed or forgotten. */
  #attached = false;
  #published: boolean;
  readonly #rehearsals: Rehearsals;
  readonly #expected = new ExpectedHosts((host, epoch) => this.#session?.used(host, epoch));

  constructor(options: MemberOptions) {
    const { runDir, welcome, flat, log, native } = options;
    this.#options = options;
    this.#published = !options.unpublished;
    this.#guard = createGuard(log);
    this.#rehearsals = new Rehearsals({ flat, guard: this.#guard });
    this.#self = parseAddress(welcome.self.address)!;
    const self = this.#self;
    this.#aliases = flat ?? SANDBOX_ALIASES;
    const aliases = this.#aliases;
    this.addresses = flat === undefined ? [] : [aliasAddress(aliases, self), aliasAddress(aliases + 1, self)];

    writeRemaps(runDir.path, welcome, welcome.host?.remappedFiles ?? {});
    this.membership = new MembershipStreams({
      socket: runDir.membership,
      self: welcome.self,
      guard: this.#guard,
      log,
    });
    const spec = { ...tableSpec(welcome, flat), kernelName: options.kernelName };
    const handoff = flat === undefined;
    this.peers = new PeerConnections({ memory: runDir.sockets, native, handoff, guests: runDir.track, log });
    this.partners = new Partners({
      connections: this.peers,
      native,
      isFlat: flat !== undefined,
      hostAt: (address) => this.locations.hostAt(address),
      session: () => this.#session,
    });
    const { directory } = welcome;
    this.services = new Services({
      directory,
      self,
      session: () => this.#session?.services,
      open: () =>
        openByPeer(native, {
          addresses: this.addresses,
          handoffs: () => this.peers.alive(),
          // The alias of a host has the last two bytes of its virtual address, as all of the cluster have the others.
          virtualOf: (real) => ((self & 0xffff0000) | (real & 0xffff)) >>> 0,
        }),
      onChange: () => this.#places?.update(),
      onUsed: () => this.#places?.wake(),
    });
    this.locations = openLocations(spec, {
      map: runDir.mapTable,
      onGone: (_host, address) => this.transports.drop(address),
      onLocation: (location, address) => {
        this.partners.located(location, address);
        this.transports.located(location);
      },
      onChange: () => this.#places?.update(),
    });
    this.transports = this.#openTransports();
    this.listeners = this.#createListeners();
    this.#udpProxies = createUdpProxies({
      aliases,
      self,
      ownPorts: () => this.listeners.ports,
      send: (address, datagram) => this.transports.sendDatagram(address, datagram),
      guard: this.#guard,
      log,
    });
    this.outside = new OutsideClients({
      ...{ aliases, self, guard: this.#guard, log },
      ownPorts: () => this.listeners.ports,
      publish: this.locations.setOutsidePorts,
      send: (bytes) => this.#session?.sendOutside?.(bytes),
    });
    this.datagrams = new Datagrams({
      native,
      locations: this.locations,
      locator: this.locator,
      expected: this.#expected,
      guard: this.#guard,
      route: (destination, address) =>
        directRoute(flat, address, destination) ??
        (flat === undefined ? this.#udpProxies.open(address, destination.port) : undefined),
      nowhere: (address) => aliasAddress(aliases, address),
      log,
    });
    const onOpen = this.locations.setResolverPorts;
    this.resolver = createResolver({ identity: welcome, onOpen, guard: this.#guard, log });
    if (handoff && directory.some(({ service }) => service)) {
      this.#places = new Places({
        connector: this.transports.connector.native,
        services: () => this.services.used(),
        addressOf: (host) => this.services.addressOf(host),
        running: this.locations.running,
        setServices: this.locations.setServices,
        onGiven: (...given) => this.services.given(...given),
      });
    }
    this.#load = options.asClient
      ? undefined
      : Load.of(welcome.self.name, directory, {
          native,
          ports: () => this.listeners.ports,
          addresses: this.addresses,
          handoffs: () => this.peers.alive(),
          processes: runDir.track,
          session: () => this.#session?.services,
        });
    this.service = this.#openService();
  }

  /** The host that a real address is known to be of: on network `flat` only. */
  readonly nameOf = (address: number): string | undefined => {
    const { flat, welcome } = this.#options;
    if (flat === undefined) return undefined;
    return welcome.directory.find((host) => aliasAddress(flat, parseAddress(host.address)!) === address)?.name;
  };

  /** Datagrams that guests have sent to or received from other hosts so far, modulo 2³². */
  traffic(): number {
    return this.#options.runDir.traffic();
  }

  /** Joined: guests' requests go through this session from now on. */
  attach(session: MemberSession): void {
    const isFirst = !this.#attached;
    this.#attached = true;
    this.#session = session;
    if (isFirst) this.#joined();
    else this.refresh();
    this.locator.use(session);
    this.membership.use(session.coordination);
    if (session.coordination) this.#options.onCoordination?.(session.coordination);
  }

  /**
   * The same session has joined again: sends what the seed may have missed, and forgets what may have changed unseen.
   */
  refresh(): void {
    this.#expected.clear();
    this.locations.forget();
    this.partners.refresh();
    this.#joined();
    this.#sendPorts();
  }

  /** What others may connect to. */
  get ports(): PortMapping[] {
    return this.#published ? publicPorts(this.listeners.ports) : [];
  }

  /** From now on others are told of this member's ports. */
  publishPorts(): void {
    this.#published = true;
    this.#sendPorts();
  }

  reportEvent(event: ReportedEvent, detail: Parameters<MemberSession['report']>[1]): void {
    this.#session?.report(event, detail);
  }

  /** No session for a while: guests' requests wait. */
  detach(): void {
    this.#session = undefined;
    this.locator.use(undefined);
    this.membership.use(undefined);
    this.#expected.clear();
    this.locations.forget();
    this.transports.left();
  }

  /** Its guest is likely to connect to another host at once. */
  expectConnect(): void {
    this.#rehearsals.beforeConnect();
  }

  /**
   * Guests here are likely to connect to that epoch, of which the location has just come: a connection is made ready. It
   * takes the place of a rehearsal.
   */
  expects(host: string, epoch: number): void {
    const location = this.locations.running(host);
    if (location?.epoch !== epoch) return;
    this.#rehearsals.met();
    this.#expected.add(host, epoch);
    this.transports.expect({ location, address: this.services.addressOf(host) });
  }

  /** Another member has sent something, and connections may follow. */
  meets(from: Sender): void {
    this.#rehearsals.met();
    this.partners.meets(from);
  }

  close(): void {
    this.#rehearsals.close();
    this.#session = undefined;
    this.locator.close('this host is being stopped');
    this.datagrams.close();
    this.resolver.close();
    this.peers.close();
    this.partners.close();
    this.membership.close();
    this.#load?.close();
    this.#places?.close();
    this.#places = undefined;
    this.#udpProxies.close();
    this.outside.close();
    this.service.close();
    this.transports.close();
    this.listeners.close();
    this.#options.runDir.remove();
  }

  #joined(): void {
    const session = this.#session;
    this.services.joined();
    this.#load?.joined();
    const seen = this.#options.flat === undefined ? session?.observation : undefined;
    if (session && seen) this.transports.joined(session, seen);
    this.partners.observed(seen?.observed.address);
  }

  #sendPorts(): void {
    const { settled, settledDatagrams } = this.listeners;
    this.#session?.ports(this.ports, this.#published && settled, this.#published && settledDatagrams);
  }

  #openTransports(): Transports {
    const { native, flat, log } = this.#options;
    return openTransports({
      native,
      aliasBase: aliasAddress(this.#aliases, 0),
      flat,
      mayBeOpen: this.#options.welcome.host?.kind === 'instance' && !this.#options.asClient,
      locationAt: (address) => {
        const host = this.locations.hostAt(address);
        return host === undefined ? undefined : this.locations.findDatagrams(host, 0)?.location;
      },
      onExpected: (address) => this.#expected.used(this.locations.hostAt(address)),
      onDatagram: (address, datagram) => this.#udpProxies.deliver(address, datagram),
      poolMost: poolMost(process.env),
      guard: this.#guard,
      onEvent: (event, detail) => {
        log('info', event, detail);
        this.#session?.report(event, detail);
      },
    });
  }

  #createListeners(): Listeners {
    const { native, settleTime, starting, onListening, log } = this.#options;
    return createListeners({
      settleTime,
      starting: settleTime > 0 ? starting : undefined,
      onChange: (ports) => {
        this.locations.setOwnPorts(ports);
        this.transports.connector.listeners(listenerRows(ports));
        this.#sendPorts();
      },
      sockets: () => tcpSockets(native),
      onListening: (port) => {
        const { port: number, realPort, scope, real, protocol } = port;
        log('info', `a guest listens on ${protocol === 'udp' ? 'UDP ' : ''}port ${number}`, {
          port: number,
          real: scope === 'loopback6' ? '::1' : formatAddress(real),
          realPort,
          scope,
        });
        this.#rehearsals.listens();
        onListening?.(port);
      },
    });
  }

  #openService(): ShimService {
    const { native, runDir, welcome, asClient, log } = this.#options;
    const limits = new Map(welcome.directory.map(({ name, allocationTimeout }) => [name, allocationTimeout]));
    return new ShimService({
      native,
      path: runDir.shimSocket,
      guard: this.#guard,
      locations: this.locations,
      locator: this.locator,
      expected: this.#expected,
      services: this.services,
      listeners: this.listeners,
      datagrams: this.datagrams,
      connect: this.transports.connect,
      limitOf: (host) => limits.get(host) ?? HOST_LIMITS.allocationTimeout.default,
      connector: this.transports.connector.native,
      resolver: this.resolver,
      onWait: () => this.#rehearsals.beforeConnect(),
      asClient,
      ownReal: aliasAddress(this.#aliases, this.#self),
      log,
    });
  }
}

/** What the connector delivers to: streams, from other hosts. */
function listenerRows(ports: readonly OwnPort[]): Uint32Array {
  const open = ports.filter(({ scope, protocol }) => !protocol && (scope === 'any' || scope === 'host'));
  return Uint32Array.from(open.flatMap(({ port, real, realPort }) => [port, real, realPort]));
}
