/**
 * Where connections of clients from outside go: to a host, or to the host of a service that is chosen for each of them,
 * as a member's supervisor chooses it. What the seed publishes of services to members, it is sent here as well.
 */
import type { MemberView, ServiceTerms } from '../../../contract/control/services';
import {
  AVOIDED,
  type Candidate,
  type Choice,
  chooseHost,
  connectionsOf,
  isToBeSaid,
  WHY,
} from '../../services/choice';
import type { Directory } from '../locate/directory';
import type { Machine } from '../machine/interpreter';
import { locationOf, type MemberId } from '../machine/state';
import type { Services } from '../services/services';

export interface DestinationsOptions {
  readonly directory: Pick<Directory, 'entries' | 'find' | 'serviceOf'>;
  readonly hosts: ReadonlyMap<string, Machine>;
  readonly services: Pick<Services, 'use' | 'acknowledge' | 'chosen'>;
  /** Under which the ingress is a member. */
  readonly member: MemberId;
}

/** A client's connection, as the choice knows it. */
export interface Arrival {
  readonly address: string;
  /** In events. */
  readonly name: string;
  /** At the host. */
  readonly port: number;
}

/** A host that listened and cannot be connected to was stopped or moved at that moment: it is located so often. */
const MOST_TRIES = 4;
/** Of a sticky service: clients whose host is remembered. Those that came longest ago are forgotten first. */
export const MOST_REMEMBERED = 4_096;

/** Connections of clients to one host of a service: under way, open, and open when its own report came last. */
interface Count {
  pending: number;
  open: number;
  reported: number;
}

interface Service {
  readonly name: string;
  readonly terms: ServiceTerms;
  readonly counts: ReadonlyMap<string, Count>;
  /** By host: until when. */
  readonly avoided: Map<string, number>;
  readonly said: Map<string, number>;
  /** Of a sticky one: by the client's address. */
  readonly last: Map<string, string>;
  views: readonly MemberView[];
  turn: number;
}

/** Where one connection goes. It ends with `ended`. */
export interface Destination {
  /** The host that was chosen last. */
  readonly machine: Machine | undefined;
  /** How long it may take, in milliseconds. */
  readonly allocationTimeout: number;
  /** Chooses a host. */
  next(): Machine | undefined;
  /**
   * The connection has failed to the host that was chosen.
   * @param moved it listened, and could not be connected to
   * @returns whether `next` is to be tried
   */
  failed(moved: boolean): boolean;
  /** The client is connected to the host. */
  joined(): void;
  ended(): void;
}

export class Destinations {
  readonly #options: DestinationsOptions;
  readonly #services = new Map<string, Service>();

  constructor(options: DestinationsOptions) {
    this.#options = options;
    for (const { name, service: terms } of options.directory.entries) {
      if (!terms) continue;
      const counts = new Map(terms.members.map((host) => [host, { pending: 0, open: 0, reported: 0 }]));
      const maps = { counts, avoided: new Map(), said: new Map(), last: new Map() };
      this.#services.set(name, { name, terms, ...maps, views: [], turn: 0 });
    }
  }

  /** The names are exposed: of those that are services', the state is published here from now on. */
  open(names: readonly string[]): void {
    const { directory, services, member } = this.#options;
    const used = names.flatMap((name) => directory.serviceOf(name) ?? []);
    for (const name of new Set(used)) services.use(member, name);
  }

  publish({ service: name, version, members }: Published): void {
    const service = this.#services.get(name);
    if (!service) return;
    service.views = members;
    for (const count of service.counts.values()) count.reported = count.open;
    this.#options.services.acknowledge(this.#options.member, name, version);
  }

  /** @returns undefined: the name is nobody's */
  of(name: string, arrival: Arrival): Destination | undefined {
    const { directory, hosts } = this.#options;
    const service = this.#services.get(directory.serviceOf(name) ?? '');
    if (service) return new OneOfService(this, service, arrival, hosts);
    const machine = hosts.get(directory.find(name)?.host.name ?? '');
    return machine && toHost(machine);
  }

  candidates({ terms, counts, views, avoided }: Service, now: number): Candidate[] {
    return terms.members.map((name, i) => {
      const { connections, cpu, draining } = views[i] ?? UNKNOWN;
      const of = { cpu, draining, instance: i < terms.instances, avoided: (avoided.get(name) ?? 0) > now };
      const { state } = locationOf(this.#options.hosts.get(name)!.state);
      return { name, state, ...of, connections: connectionsOf({ state, connections }, counts.get(name)!) };
    });
  }

  /** For operators. */
  say({ name: service, said }: Service, choice: Choice, { name, port }: Arrival, now: number): void {
    if (!isToBeSaid(said, choice, now)) return;
    const { name: member, why } = choice;
    this.#options.services.chosen(this.#options.member, name, { service, member, port, why: WHY[why] });
  }
}

interface Published {
  readonly service: string;
  readonly version: number;
  readonly members: readonly MemberView[];
}

const UNKNOWN: Pick<MemberView, 'connections' | 'cpu' | 'draining'> = { connections: 0, cpu: 0, draining: false };

function toHost(machine: Machine): Destination {
  let tries = 0;
  return {
    machine,
    allocationTimeout: machine.entry.allocationTimeout,
    next: () => machine,
    failed: (moved) => moved && ++tries < MOST_TRIES,
    joined: () => undefined,
    ended: () => undefined,
  };
}

class OneOfService implements Destination {
  readonly #all: Destinations;
  readonly #service: Service;
  readonly #arrival: Arrival;
  readonly #hosts: ReadonlyMap<string, Machine>;
  readonly #tried = new Set<string>();
  #host: string | undefined;
  /** In which number of the host's `Count` it is. */
  #as: 'pending' | 'open' | undefined;
  /** One of those that were tried has moved. */
  #moved = false;
  #rounds = 0;

  constructor(all: Destinations, service: Service, arrival: Arrival, hosts: ReadonlyMap<string, Machine>) {
    this.#all = all;
    this.#service = service;
    this.#arrival = arrival;
    this.#hosts = hosts;
  }

  get machine(): Machine | undefined {
    return this.#hosts.get(this.#host ?? '');
  }

  get allocationTimeout(): number {
    return Math.max(...this.#service.terms.members.map((name) => this.#hosts.get(name)!.entry.allocationTimeout));
  }

  next(): Machine | undefined {
    const service = this.#service;
    const { terms, last, turn } = service;
    const { address } = this.#arrival;
    this.#count(undefined);
    const now = performance.now();
    const candidates = this.#all.candidates(service, now).filter(({ name }) => !this.#tried.has(name));
    const choice = chooseHost(candidates, terms, turn, terms.sticky ? last.get(address) : undefined);
    if (!choice) return undefined;
    service.turn = (turn + 1) >>> 0;
    this.#host = choice.name;
    this.#count('pending');
    if (terms.sticky) remember(last, address, choice.name);
    this.#all.say(service, choice, this.#arrival, now);
    return this.machine;
  }

  failed(moved: boolean): boolean {
    const { avoided, terms } = this.#service;
    this.#count(undefined);
    this.#tried.add(this.#host!);
    avoided.set(this.#host!, performance.now() + AVOIDED);
    this.#moved ||= moved;
    if (this.#tried.size < terms.members.length) return true;
    if (!this.#moved || ++this.#rounds >= MOST_TRIES) return false;
    // What has just died is imagined by the next round.
    this.#tried.clear();
    this.#moved = false;
    return true;
  }

  joined(): void {
    this.#count('open');
  }

  ended(): void {
    this.#count(undefined);
  }

  #count(as: 'pending' | 'open' | undefined): void {
    const count = this.#service.counts.get(this.#host ?? '');
    if (count && this.#as) count[this.#as] -= 1;
    if (count && as) count[as] += 1;
    this.#as = as;
  }
}

function remember(last: Map<string, string>, address: string, host: string): void {
  last.delete(address);
  last.set(address, host);
  if (last.size > MOST_REMEMBERED) last.delete(last.keys().next().value!);
}
