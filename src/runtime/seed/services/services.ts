/**
 * What members are sent of services: the state and the load of each host, when it has changed, and only if they have
 * asked. The choice is theirs (`../../supervisor/services`, and the ingress).
 */
import type { FromSeed } from '../../../contract/control/from-seed';
import type { MemberView, ServiceTerms } from '../../../contract/control/services';
import type { ToSeed } from '../../../contract/control/to-seed';
import { Allowance } from '../allowance';
import type { Directory } from '../locate/directory';
import { type HostState, locationOf, type MemberId } from '../machine/state';
import type { EventLog } from '../operators/events';
import { drainingChange } from './draining';

type Chosen = Omit<Extract<ToSeed, { readonly type: 'chosen' }>, 'type'>;

export interface ServicesOptions {
  readonly directory: Pick<Directory, 'entries' | 'serviceOf'>;
  readonly stateOf: (host: string) => HostState | undefined;
  readonly send: (member: MemberId, frame: FromSeed) => void;
  readonly events: Pick<EventLog, 'emit'>;
}

/** Milliseconds between two frames about one service to one member, at least. */
const INTERVAL = 100;
/** The load has to fit on the other hosts for so long, in milliseconds, before one of them is drained. */
const DRAIN_AFTER = 3_000;

/** Choices that a member may report at once, and each second. */
const SAID = { burst: 64, rate: 4 };

/** What a host has to do, in the epoch that reported it. */
interface Reported {
  readonly epoch: number;
  readonly connections: number;
  readonly cpu: number;
}

interface Service {
  readonly name: string;
  readonly terms: ServiceTerms;
  /** What members were sent and have acknowledged. One that does not acknowledge is sent nothing further. */
  readonly users: Map<MemberId, { sent: number; acked: number }>;
  readonly draining: Set<string>;
  version: number;
  views: readonly MemberView[];
  /** What is to be drained, and since when that is so. */
  due?: { readonly host: string; readonly since: number };
  timer?: NodeJS.Timeout;
}

export class Services {
  readonly #options: ServicesOptions;
  readonly #services = new Map<string, Service>();
  /** By host: the services that it is in. */
  readonly #of = new Map<string, Service[]>();
  readonly #loads = new Map<string, Reported>();
  readonly #said = new Map<MemberId, Allowance>();

  constructor(options: ServicesOptions) {
    this.#options = options;
    for (const { name, service: terms } of options.directory.entries) {
      if (!terms) continue;
      const service: Service = { name, terms, users: new Map(), draining: new Set(), version: 0, views: [] };
      this.#services.set(name, service);
      for (const member of terms.members) this.#of.set(member, [...(this.#of.get(member) ?? []), service]);
    }
  }

  /** From now on the member is sent what changes. @returns false: there is no such service */
  use(member: MemberId, name: string): boolean {
    const service = this.#services.get(name);
    if (!service) return false;
    this.#look(service);
    const { version } = service;
    service.users.set(member, { sent: version, acked: version - 1 });
    this.#send(member, service);
    this.#soon(service);
    return true;
  }

  acknowledge(member: MemberId, name: string, version: number): void {
    const service = this.#services.get(name);
    const user = service?.users.get(member);
    if (!service || !user || version <= user.acked || version > user.sent) return;
    user.acked = version;
    if (user.sent < service.version) this.#soon(service);
  }

  /** A member says which host it has chosen, and why: for operators. What comes at too high a rate is lost. */
  chosen(by: MemberId, from: string, { member: host, service, port, why }: Chosen): void {
    const known = this.#services.get(service)?.terms.members.find((name) => name === host);
    if (known === undefined) return;
    const allowance = this.#said.get(by) ?? new Allowance(SAID.burst, SAID.rate);
    this.#said.set(by, allowance);
    if (!allowance.take()) return;
    this.#options.events.emit(known, 'service-chosen', { from, service, port, why }, `${from} says`);
  }

  forget(member: MemberId): void {
    this.#said.delete(member);
    for (const { users } of this.#services.values()) users.delete(member);
  }

  /** A host that is in no service reports to no end. */
  load(host: string, epoch: number, { connections, cpu }: Omit<Reported, 'epoch'>): void {
    if (!this.#of.has(host)) return;
    this.#loads.set(host, { epoch, connections, cpu });
    this.changed(host);
  }

  /** The state of a host may have changed. */
  changed(host: string): void {
    for (const service of this.#of.get(host) ?? []) if (service.users.size > 0) this.#soon(service);
  }

  close(): void {
    for (const { timer } of this.#services.values()) clearTimeout(timer);
    this.#services.clear();
    this.#of.clear();
  }

  /** After what is under way now; then not before the interval has passed. */
  #soon(service: Service, delay = 0): void {
    service.timer ??= setTimeout(() => this.#publish(service), delay).unref();
  }

  #publish(service: Service): void {
    service.timer = setTimeout(() => {
      service.timer = undefined;
      const behind = [...service.users.values()].some(({ sent, acked }) => sent === acked && sent < service.version);
      const news = JSON.stringify(this.#viewsOf(service)) !== JSON.stringify(service.views);
      if (behind || news || service.due) this.#publish(service);
    }, INTERVAL).unref();
    this.#drain(service);
    this.#look(service);
    for (const [member, user] of service.users) {
      if (user.sent !== user.acked || user.sent === service.version) continue;
      user.sent = service.version;
      this.#send(member, service);
    }
  }

  #look(service: Service): void {
    const views = this.#viewsOf(service);
    if (JSON.stringify(views) !== JSON.stringify(service.views)) service.version += 1;
    service.views = views;
  }

  #send(member: MemberId, { name, version, views }: Service): void {
    this.#options.send(member, { type: 'service', service: name, version, members: views });
  }

  #viewsOf({ terms, draining }: Service): MemberView[] {
    return terms.members.map((host) => {
      const known = this.#options.stateOf(host);
      const { state, epoch } = known ? locationOf(known) : { state: 'imagined' as const, epoch: 0 };
      const reported = this.#loads.get(host);
      const now = state === 'running' && reported?.epoch === epoch ? reported : { connections: 0, cpu: 0 };
      if (state !== 'running') draining.delete(host);
      return { state, connections: now.connections, cpu: now.cpu, draining: draining.has(host) };
    });
  }

  #drain(service: Service): void {
    const { name, terms, draining } = service;
    const views = this.#viewsOf(service);
    const hosts = views.map((view, i) => ({
      ...view,
      running: view.state === 'running',
      instance: i < terms.instances,
    }));
    const change = drainingChange(hosts, terms);
    const host = change && 'drain' in change ? terms.members[change.drain] : undefined;
    const now = performance.now();
    if (host === undefined) service.due = undefined;
    else if (service.due?.host !== host) service.due = { host, since: now };
    const connections = hosts.reduce((sum, one) => sum + one.connections, 0);
    const said = { service: name, connections, maxConnections: terms.maxConnections };
    if (change && 'serve' in change) {
      const back = terms.members[change.serve];
      draining.delete(back);
      this.#options.events.emit(back, 'serving', { ...said, why: 'the others are nearly full' });
    } else if (service.due && now - service.due.since >= DRAIN_AFTER) {
      draining.add(service.due.host);
      this.#options.events.emit(service.due.host, 'draining', { ...said, why: 'the others have room for the load' });
      service.due = undefined;
    }
  }
}
