/**
 * The services that guests of this member connect to: what the seed has published of their hosts, what was chosen since,
 * and which hosts failed of late. The view may be old: that costs a little balance, and never a connect.
 */
import type { DirectoryEntry } from '../../../contract/control/packed-directory';
import type { MemberView, ServiceTerms } from '../../../contract/control/services';
import { parseAddress } from '../../../contract/manifest/address';
import { LocateError, type ServiceFrames } from '../../control/index';
import {
  AVOIDED,
  type Candidate,
  type Choice,
  chooseHost,
  connectionsOf,
  isToBeSaid,
  WHY,
} from '../../services/choice';
import type { UsedService } from './places';

export type ServicesSession = Pick<ServiceFrames, 'use' | 'chosen'>;

export interface ServicesOptions {
  readonly directory: readonly DirectoryEntry[];
  /** Virtual address of this member: where the choice among equal hosts begins. */
  readonly self: number;
  readonly session: () => ServicesSession | undefined;
  /** Open connections of guests here, by the virtual address of the host. */
  readonly open: () => ReadonlyMap<number, number>;
  /** What the next choice depends on has changed. */
  readonly onChange: () => void;
  /** A guest has connected to a service. */
  readonly onUsed: () => void;
}

/** Milliseconds between two looks at which connections are open, at least. */
const LOOK = 50;
/** Ports of one service that the connector answers for. */
const MOST_PORTS = 16;

/** Connections of guests of this member to one host of a service. */
interface Count {
  /** Connects that it was chosen for and that are under way. */
  pending: number;
  /** Those that came about since the last look. */
  led: number;
  /** Open ones at the last look, and at the last report of the host. */
  open: number;
  reported: number;
  /** Which part of those that came about was still open at the look after that. */
  lasting: number;
}

interface Service {
  readonly name: string;
  /** Virtual address. */
  readonly address: number;
  readonly terms: ServiceTerms;
  /** Ports that guests have connected to: the first so many. */
  readonly ports: Set<number>;
  /** Undefined until the seed has sent it. */
  views?: readonly MemberView[];
  /** By host. */
  readonly counts: Map<string, Count>;
  /** By host: until when. */
  readonly avoided: Map<string, number>;
  /** Of a sticky service. */
  last?: string;
  turn: number;
  asked: boolean;
  /** By host and reason: when it was reported. */
  readonly said: Map<string, number>;
  waiters: Set<() => void>;
}

export class Services {
  readonly #options: ServicesOptions;
  readonly #byAddress = new Map<number, Service>();
  readonly #byName = new Map<string, Service>();
  #looked = Number.NEGATIVE_INFINITY;
  /** Of the hosts. */
  readonly #addresses = new Map<string, number>();

  constructor(options: ServicesOptions) {
    this.#options = options;
    for (const { name, address, service: terms } of options.directory) {
      if (!terms) this.#addresses.set(name, parseAddress(address)!);
      if (!terms) continue;
      const maps = { counts: new Map(), avoided: new Map(), said: new Map() };
      for (const host of terms.members) maps.counts.set(host, newCount());
      const own = { name, address: parseAddress(address)!, terms, ports: new Set<number>() };
      const service: Service = { ...own, ...maps, turn: options.self, asked: false, waiters: new Set() };
      this.#byAddress.set(own.address, service);
      this.#byName.set(name, service);
    }
  }

  /** The service that has this virtual address. */
  at(address: number): string | undefined {
    return this.#byAddress.get(address)?.name;
  }

  /** The virtual address of a host. */
  addressOf(host: string): number {
    return this.#addresses.get(host) ?? 0;
  }

  /** The seed has sent what is known of a service. Views of another length are of another manifest. */
  publish({ service: name, members }: { readonly service: string; readonly members: readonly MemberView[] }): void {
    const service = this.#byName.get(name);
    if (!service || members.length !== service.terms.members.length) return;
    this.#look(performance.now());
    for (const count of service.counts.values()) count.reported = count.open;
    service.views = members;
    this.#options.onChange();
    for (const wake of service.waiters) wake();
    service.waiters.clear();
  }

  /** Joined, for the first time or again: the seed is told which services are used. */
  joined(): void {
    for (const service of this.#byName.values()) if (service.asked) this.#options.session()?.use(service.name);
  }

  /** Resolves when something is known of the service's hosts. @throws LocateError what the signal was aborted with */
  async known(name: string, signal: AbortSignal): Promise<void> {
    const service = this.#byName.get(name)!;
    if (!service.asked) {
      service.asked = true;
      this.#options.session()?.use(name);
    }
    if (service.views) return;
    await new Promise<void>((resolve, reject) => {
      const onAbort = () => {
        service.waiters.delete(wake);
        reject(signal.reason instanceof LocateError ? signal.reason : new LocateError('ETIMEDOUT', 'given up'));
      };
      const wake = () => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      if (signal.aborted) return onAbort();
      signal.addEventListener('abort', onAbort, { once: true });
      service.waiters.add(wake);
    });
  }

  /**
   * The host for a connect, which counts as one of its connections from now on. `led` or `failed` follows.
   * @param tried hosts that it is not to be
   * @returns undefined: all have been tried
   */
  choose(name: string, port: number, tried: ReadonlySet<string>): Choice | undefined {
    const service = this.#byName.get(name)!;
    const now = performance.now();
    const candidates = this.candidates(name, now).filter((host) => !tried.has(host.name));
    const { terms, last } = service;
    const choice = chooseHost(candidates, terms, service.turn, terms.sticky ? last : undefined);
    if (!choice) return undefined;
    service.turn = (service.turn + 1) >>> 0;
    service.last = choice.name;
    if (service.ports.size < MOST_PORTS) service.ports.add(port);
    this.#options.onUsed();
    countOf(service, choice.name).pending += 1;
    this.#say(service, choice, port, now);
    return choice;
  }

  /** The guest has a connection to that host, or is being connected by its shim. */
  led(name: string, host: string): void {
    const count = countOf(this.#byName.get(name)!, host);
    count.pending -= 1;
    count.led += 1;
    this.#options.onChange();
  }

  /** The connector has led so many connects there. */
  given(name: string, host: string, port: number, count: number): void {
    const service = this.#byName.get(name)!;
    const now = performance.now();
    countOf(service, host).led += count;
    const instance = service.terms.members.indexOf(host) < service.terms.instances;
    this.#say(
      service,
      { name: host, why: service.terms.sticky ? 'sticky' : instance ? 'instance' : 'least' },
      port,
      now,
    );
  }

  /** Services that guests have connected to. */
  used(): UsedService[] {
    const now = performance.now();
    const used = [...this.#byName.values()].filter(({ views, ports }) => views && ports.size > 0);
    return used.map((service) => ({ ...service, candidates: this.candidates(service.name, now) }));
  }

  /** A connect to that host has failed. */
  failed(name: string, host: string): void {
    countOf(this.#byName.get(name)!, host).pending -= 1;
    this.#avoid(name, host);
  }

  /** It has failed after all: its shim could not connect. */
  refused(name: string, host: string): void {
    this.#avoid(name, host);
  }

  candidates(name: string, now = performance.now()): Candidate[] {
    this.#look(now);
    const service = this.#byName.get(name)!;
    const { terms, views, avoided } = service;
    return terms.members.map((host, i) => {
      const { state, connections: all, cpu, draining } = views?.[i] ?? UNKNOWN;
      const count = countOf(service, host);
      const here = { ...count, open: count.open + count.led * count.lasting };
      const connections = Math.round(connectionsOf({ state, connections: all }, here));
      const of = { connections, avoided: (avoided.get(host) ?? 0) > now };
      return { name: host, instance: i < terms.instances, state, cpu, draining, ...of };
    });
  }

  /** Counts the connections that are open, at most every so often. */
  #look(now: number): void {
    if (now - this.#looked < LOOK) return;
    this.#looked = now;
    const open = this.#options.open();
    for (const { counts } of this.#byName.values()) {
      for (const [host, count] of counts) {
        const before = count.open + count.led;
        count.open = open.get(this.addressOf(host)) ?? 0;
        if (count.led > 0) count.lasting = Math.min(1, count.open / before);
        count.led = 0;
      }
    }
  }

  #avoid(name: string, host: string): void {
    this.#byName.get(name)!.avoided.set(host, performance.now() + AVOIDED);
    this.#options.onChange();
  }

  #say(service: Service, choice: Choice, port: number, now: number): void {
    if (!isToBeSaid(service.said, choice, now)) return;
    const { name: member, why } = choice;
    this.#options.session()?.chosen({ service: service.name, member, port, why: WHY[why] });
  }
}

const newCount = (): Count => ({ pending: 0, led: 0, open: 0, reported: 0, lasting: 1 });

function countOf({ counts }: Pick<Service, 'counts'>, host: string): Count {
  return counts.get(host) ?? newCount();
}

const UNKNOWN: MemberView = { state: 'imagined', connections: 0, cpu: 0, draining: false };
