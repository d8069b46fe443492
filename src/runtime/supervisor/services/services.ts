/**
 * The services that guests of this member connect to: what the seed has published of their hosts, what was chosen since,
 * and which hosts failed of late. The view may be old: that costs a little balance, and never a connect.
 */
import type { DirectoryEntry } from '../../../contract/control/packed-directory';
import type { MemberView, ServiceTerms } from '../../../contract/control/services';
import { parseAddress } from '../../../contract/manifest/address';
import { LocateError, type Session } from '../../control/index';
import { type Candidate, type Choice, chooseHost, WHY, type Why } from './choice';

export type ServicesSession = Pick<Session, 'useService'>;

export interface ServicesOptions {
  readonly directory: readonly DirectoryEntry[];
  /** Virtual address of this member: where the choice among equal hosts begins. */
  readonly self: number;
  readonly session: () => ServicesSession | undefined;
  /** For operators: what was chosen, and why. */
  readonly onChosen: (detail: { service: string; member: string; port: number; why: string }) => void;
}

/** A connect that came about counts for so long, in milliseconds; by then its host has reported the connection. */
const COUNTED = 400;
/** A host that a connect has failed to is avoided for so long, in milliseconds. */
const AVOIDED = 2_000;
/** The same choice of a service is reported once in so many milliseconds. */
const SAID = 10_000;

interface Service {
  readonly name: string;
  readonly terms: ServiceTerms;
  /** Undefined until the seed has sent it. */
  views?: readonly MemberView[];
  /** By host: connects that it was chosen for and that are under way. */
  readonly pending: Map<string, number>;
  /** By host: when connects to it came about, `performance.now()`, the oldest first. */
  readonly led: Map<string, number[]>;
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
  /** Of the hosts. */
  readonly #addresses = new Map<string, number>();

  constructor(options: ServicesOptions) {
    this.#options = options;
    for (const { name, address, service: terms } of options.directory) {
      if (!terms) this.#addresses.set(name, parseAddress(address)!);
      if (!terms) continue;
      const maps = { pending: new Map(), led: new Map(), avoided: new Map(), said: new Map() };
      const service: Service = { name, terms, ...maps, turn: options.self, asked: false, waiters: new Set() };
      this.#byAddress.set(parseAddress(address)!, service);
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
    service.views = members;
    for (const wake of service.waiters) wake();
    service.waiters.clear();
  }

  /** Joined, for the first time or again: the seed is told which services are used. */
  joined(): void {
    for (const service of this.#byName.values()) if (service.asked) this.#options.session()?.useService(service.name);
  }

  /** Resolves when something is known of the service's hosts. @throws LocateError what the signal was aborted with */
  async known(name: string, signal: AbortSignal): Promise<void> {
    const service = this.#byName.get(name)!;
    if (!service.asked) {
      service.asked = true;
      this.#options.session()?.useService(name);
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
    service.pending.set(choice.name, (service.pending.get(choice.name) ?? 0) + 1);
    this.#say(service, choice, port, now);
    return choice;
  }

  /** The guest has a connection to that host, or is being connected by its shim. */
  led(name: string, host: string): void {
    const service = this.#byName.get(name)!;
    this.#done(service, host);
    const led = service.led.get(host);
    if (led) led.push(performance.now());
    else service.led.set(host, [performance.now()]);
  }

  /** A connect to that host has failed. */
  failed(name: string, host: string): void {
    const service = this.#byName.get(name)!;
    this.#done(service, host);
    service.avoided.set(host, performance.now() + AVOIDED);
  }

  /** It has failed after all: its shim could not connect. */
  refused(name: string, host: string): void {
    const service = this.#byName.get(name)!;
    service.led.get(host)?.pop();
    service.avoided.set(host, performance.now() + AVOIDED);
  }

  candidates(name: string, now = performance.now()): Candidate[] {
    const { terms, views, pending, led, avoided } = this.#byName.get(name)!;
    return terms.members.map((host, i) => {
      const { state, connections, cpu, draining } = views?.[i] ?? UNKNOWN;
      const since = led.get(host);
      while (since && since.length > 0 && since[0] < now - COUNTED) since.shift();
      const own = (pending.get(host) ?? 0) + (since?.length ?? 0);
      const of = { connections: connections + own, avoided: (avoided.get(host) ?? 0) > now };
      return { name: host, instance: i < terms.instances, state, cpu, draining, ...of };
    });
  }

  #done({ pending }: Service, host: string): void {
    pending.set(host, Math.max(0, (pending.get(host) ?? 0) - 1));
  }

  #say(service: Service, { name: member, why }: Choice, port: number, now: number): void {
    const key = `${member} ${why satisfies Why}`;
    if (now - (service.said.get(key) ?? Number.NEGATIVE_INFINITY) < SAID) return;
    service.said.set(key, now);
    this.#options.onChosen({ service: service.name, member, port, why: WHY[why] });
  }
}

const UNKNOWN: MemberView = { state: 'imagined', connections: 0, cpu: 0, draining: false };
