/**
 * Connects to services that the connector answers without JavaScript, where connections are handed off: it is told which
 * hosts have room, and says how many connects went to each. What it cannot answer comes to `GuestConnects`.
 */
import type { HostState, PortRow } from '../../../contract/abi/table';
import type { Location } from '../../../contract/control/location';
import type { ServiceTerms } from '../../../contract/control/services';
import type { NativeConnector } from '../../../native/addon';
import { type Candidate, hostsWithRoom } from '../../services/choice';

/** A service that guests here have connected to. */
export interface UsedService {
  readonly name: string;
  /** Virtual address. */
  readonly address: number;
  readonly terms: ServiceTerms;
  /** Ports that guests have connected to. */
  readonly ports: ReadonlySet<number>;
  /** Of a sticky service: where this member was led to. */
  readonly last?: string;
  readonly candidates: readonly Candidate[];
}

export interface PlacesOptions {
  readonly connector: Pick<NativeConnector, 'services'>;
  readonly services: () => readonly UsedService[];
  readonly addressOf: (host: string) => number;
  readonly running: (host: string) => Location | undefined;
  readonly setServices: (states: readonly HostState[], ports: readonly PortRow[]) => void;
  /** So many connects to that port went to the host. */
  readonly onGiven: (service: string, host: string, port: number, count: number) => void;
}

interface Place {
  readonly service: UsedService;
  readonly host: string;
  readonly port: number;
  readonly connections: number;
}

/** Of a sticky service: the host is never full. */
const ANY = 0xffff_ffff;
/** Milliseconds between two looks at what was given, while something is. */
const INTERVAL = 50;
/** Looks at which nothing was given, until the next one waits for a reason. */
const QUIET = 20;

export class Places {
  readonly #options: PlacesOptions;
  #places: readonly Place[] = [];
  #listed = '';
  #quiet = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: PlacesOptions) {
    this.#options = options;
  }

  /** Something has changed: which hosts there are, what they have to do, or which services are used. */
  update(): void {
    const used = this.#tell();
    // What was given until now counts for the next choice.
    this.#list(used ?? this.#tell() ?? this.#options.services());
  }

  /** A guest has connected: looks follow for a while. */
  wake(): void {
    this.#quiet = 0;
    this.#timer ??= setTimeout(this.#look, INTERVAL).unref();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#quiet = QUIET;
  }

  readonly #look = (): void => {
    this.#timer = undefined;
    this.#quiet += 1;
    this.update();
    if (this.#quiet < QUIET) this.#timer ??= setTimeout(this.#look, INTERVAL).unref();
  };

  /** @returns undefined: connects were given meanwhile that were not counted */
  #tell(): readonly UsedService[] | undefined {
    const { connector, services, addressOf, onGiven } = this.#options;
    const before = this.#places;
    const used = services();
    this.#places = used.flatMap((service) => this.#placesOf(service));
    const rows = this.#places.flatMap(({ service, host, port, connections }) => [
      ...[service.address, addressOf(host), port, connections],
      service.terms.sticky ? ANY : service.terms.maxConnections,
    ]);
    const given = new Uint32Array(before.length);
    connector.services(Uint32Array.from(rows), given);
    before.forEach(({ service, host, port }, i) => {
      if (given[i] === 0) return;
      this.#quiet = 0;
      onGiven(service.name, host, port, given[i]);
    });
    return given.some((count) => count > 0) ? undefined : used;
  }

  #placesOf(service: UsedService): Place[] {
    const { candidates, terms, last, ports } = service;
    const hosts = hostsWithRoom(candidates, terms, terms.sticky ? last : undefined);
    return hosts.flatMap(({ name: host, connections }) => {
      const location = this.#options.running(host);
      if (!location?.nat) return [];
      const open = location.ports.filter(
        ({ port, protocol, scope }) => !protocol && scope !== 'loopback' && ports.has(port),
      );
      return open.map(({ port }) => ({ service, host, port, connections }));
    });
  }

  /** The table lists ports that have a place: guests' shims then say that their request can be answered at once. */
  #list(used: readonly UsedService[]): void {
    const listed = new Map<number, Set<number>>();
    for (const { service, port } of this.#places) {
      listed.set(service.address, (listed.get(service.address) ?? new Set()).add(port));
    }
    const ports = [...listed].flatMap(([address, open]) =>
      [...open]
        .sort((a, b) => a - b)
        .map((port): PortRow => ({ address, port, real: 0, realPort: port, scope: 'any' })),
    );
    const text = JSON.stringify(ports);
    if (text === this.#listed) return;
    this.#listed = text;
    const states = used.map(
      ({ address }): HostState => (listed.has(address) ? { address, handoff: { epoch: 1 } } : { address }),
    );
    this.#options.setServices(states, ports);
  }
}
