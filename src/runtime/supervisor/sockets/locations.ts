/** What this host knows of the others and of its own ports, kept in the table that its guests map. */

import { hiddenPort, type Protocol, type Scope } from '../../../contract/abi/shim';
import { type HostState, layoutTable, type PortRow, type TableSpec, writeTable } from '../../../contract/abi/table';
import type { Location } from '../../../contract/control/location';
import { parseAddress } from '../../../contract/manifest/address';
import { directRoute } from '../../transport/direct/direct';
import type { Destination } from '../../transport/transport';

/** A listening port of this host's guests. */
export interface OwnPort {
  /** The port as the guest knows it. */
  readonly port: number;
  /** What is really bound. */
  readonly real: number;
  readonly realPort: number;
  readonly scope: Scope;
  readonly protocol?: Protocol;
  /** Scope `loopback`, network `flat`: 127.0.0.2 or the like. Absent: 127.0.0.1. */
  readonly address?: number;
}

export interface Locations {
  /** Virtual address of this host. */
  readonly self: number;
  /** The host of the cluster that has this virtual address. */
  hostAt(address: number): string | undefined;
  /** A port of another host that is known to listen. */
  find(host: string, port: number): Destination | undefined;
  /** A UDP port of another host that is known to be up; whether anybody has it is for the kernel there to say. */
  findDatagrams(host: string, port: number): Destination | undefined;
  /** Takes over a location; false when a newer one is known. */
  apply(location: Location): boolean;
  /** A guest found that this epoch of `host` cannot be connected to: it is located anew from now on. */
  distrust(host: string, epoch: number): void;
  /** The epoch that the seed should doubt when `host` is located next. */
  distrusted(host: string): number | undefined;
  /** Everything may have changed unseen. */
  forget(): void;
  setOwnPorts(ports: readonly OwnPort[]): void;
  /** Ports of this host's resolver: not its guests', and nobody else's business. */
  setResolverPorts(ports: readonly PortRow[]): void;
  /** UDP ports that stand for clients from outside, by the clients' own addresses. */
  setOutsidePorts(ports: readonly PortRow[]): void;
  /** What guests see of services: ports that the connector leads to a host. */
  setServices(states: readonly HostState[], ports: readonly PortRow[]): void;
  /** A host that is known to run. */
  running(host: string): Location | undefined;
}

export interface LocationsOptions {
  /** Maps the table's file, given its size. */
  readonly map: (size: number) => ArrayBuffer;
  /** The host is not up any more, or not where it was. */
  readonly onGone?: (host: string, address: number) => void;
  /** The host's location, whether or not it is news. */
  readonly onLocation?: (location: Location, address: number) => void;
  /** What is known of a host has changed. */
  readonly onChange?: () => void;
}

export function openLocations(
  spec: TableSpec,
  { map, onGone = () => undefined, onLocation = () => undefined, onChange = () => undefined }: LocationsOptions,
): Locations {
  const layout = layoutTable(spec);
  const writer = writeTable(map(layout.size), layout);
  const self = parseAddress(spec.self.address)!;
  const nameAt = new Map<number, string>();
  const addressOf = new Map<string, number>();
  for (const { name, address: text, service } of spec.directory) {
    if (service) continue;
    const address = parseAddress(text)!;
    nameAt.set(address, name);
    addressOf.set(name, address);
  }
  const known = new Map<string, Location>();
  const doubts = new Map<string, number>();
  /** Hosts that were known at some time. */
  const met = new Set<string>();
  let own: readonly OwnPort[] = [];
  let resolver: readonly PortRow[] = [];
  let outside: readonly PortRow[] = [];
  let services: readonly PortRow[] = [];

  const rowsOf = (location: Location): PortRow[] => {
    const address = addressOf.get(location.host);
    const { direct, handoff } = stateOf(location);
    if (address === undefined || !(direct || handoff)) return [];
    const real = direct?.real ?? 0;
    return location.ports.filter((p) => p.scope !== 'loopback').map((port) => ({ ...port, address, real }));
  };
  const stateOf = (location: Location): HostState => {
    const address = addressOf.get(location.host) ?? 0;
    if (location.state !== 'running') return { address };
    const route = directRoute(spec.handoff ? undefined : spec.aliases, address, { location, realPort: 0 });
    if (route) return { address, direct: { real: route.real, epoch: route.epoch } };
    return { address, handoff: location.nat && { epoch: location.epoch } };
  };
  const write = (hosts: Iterable<HostState>) => {
    const mine = own.map((p) => ({ address: self, ...p }));
    writer.write(hosts, [...resolver, ...outside, ...services, ...mine, ...[...known.values()].flatMap(rowsOf)]);
  };
  const gone = (host: string) => onGone(host, addressOf.get(host) ?? 0);
  const drop = (hosts: readonly string[]) => {
    for (const host of hosts) known.delete(host);
    write(hosts.map((host) => ({ address: addressOf.get(host) ?? 0 })));
    onChange();
  };

  return {
    self,
    hostAt: (address) => nameAt.get(address),
    find: (host, port) => {
      const location = known.get(host);
      const mapping = location?.ports.find((p) => p.port === port && !p.protocol && p.scope !== 'loopback');
      return location?.state === 'running' && mapping ? { location, port, realPort: mapping.realPort } : undefined;
    },
    findDatagrams: (host, port) => {
      const location = known.get(host);
      if (location?.state !== 'running') return undefined;
      const mapping = location.ports.find((p) => p.port === port && p.protocol === 'udp');
      return { location, port, realPort: mapping?.realPort ?? hiddenPort(port) };
    },
    apply: (location) => {
      const before = known.get(location.host);
      const address = addressOf.get(location.host);
      if (address !== undefined) onLocation(location, address);
      if (before && before.epoch > location.epoch) return false;
      doubts.delete(location.host);
      // A client is not the host whose name it may have: guests locate that host.
      if (address === self) return true;
      known.set(location.host, location);
      // Of one that was never known, all that there is has come from the host itself: it is where it was.
      const moved = met.has(location.host) && before?.epoch !== location.epoch;
      met.add(location.host);
      if (location.state !== 'running' || moved) gone(location.host);
      write([stateOf(location)]);
      onChange();
      return true;
    },
    distrust: (host, epoch) => {
      const location = known.get(host);
      // Doubts about an epoch that has been replaced since are settled already.
      if (location && location.epoch > epoch) return;
      doubts.set(host, epoch);
      if (location) drop([host]);
      if (location) gone(host);
    },
    distrusted: (host) => doubts.get(host),
    forget: () => drop([...known.keys()]),
    setOwnPorts: (ports) => {
      own = ports;
      write([]);
    },
    setResolverPorts: (ports) => {
      resolver = ports;
      write([]);
    },
    setOutsidePorts: (ports) => {
      outside = ports;
      write([]);
    },
    setServices: (states, ports) => {
      services = ports;
      write(states);
    },
    running: (host) => {
      const location = known.get(host);
      return location?.state === 'running' ? location : undefined;
    },
  };
}
