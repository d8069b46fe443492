import { longestEnd, type Manifest } from '../../contract/manifest';
import { loadNative } from '../../native/addon/load';
import { STANDBY_HEARTBEAT } from '../control/connection';
import { type ControlServer, listenControl } from '../control/server';
import type { Log } from '../control/session-options';
import type { Invoke } from './allocator/lambda';
import { Limits } from './allocator/limits';
import { flatData } from './data/flat-data';
import { WaitingData } from './data/waiting-data';
import { Grace } from './grace';
import { DatagramIngress } from './ingress/datagram-ingress';
import { Ingress } from './ingress/ingress';
import { Keyring } from './keyring';
import type { Lease } from './lease/lease';
import { directoryOf } from './locate/directory';
import { EXPECT_LIMIT } from './machine/expected';
import { Machine, type World } from './machine/interpreter';
import { sessionOf } from './machine/state';
import { Barriers } from './members/barriers';
import { ClientWatches } from './members/client-watches';
import { Clients } from './members/clients';
import { Connection } from './members/connection';
import { MOST_WAITING } from './members/inbox';
import { Knocks } from './members/knocks';
import { Members } from './members/members';
import { Membership } from './members/membership';
import { Parked } from './members/parked';
import { PortRanges } from './members/port-ranges';
import type { Shared } from './members/shared';
import { EventLog } from './operators/events';
import { OperatorApi } from './operators/operator-api';
import { Prefetch } from './prefetch/prefetch';
import { Relay } from './relay/relay';
import { Services } from './services/services';
import type { TraceWriter } from './trace';

export interface SeedOptions {
  readonly manifest: Manifest;
  /** Reads the cluster keys, the newest first (see `parseClusterKeys`): at the start and at every reload. */
  readonly keys: () => Promise<readonly Uint8Array[]>;
  /** `address:port` to listen on. */
  readonly listen: string;
  /** `address:port` of the data port. Default: any free port, where the seed listens. */
  readonly dataListen?: string;
  /** `address:port` that host functions are invoked with. Default: where it really listens. */
  readonly address?: string;
  /** What invokes host functions. Allocations wait for it; joins do not. */
  readonly invoke: Promise<Invoke>;
  readonly log: Log;
  /**
   * Network `flat`: its number N. Hosts are at 127.N.c.d for their virtual addresses a.b.c.d. Absent: hosts are where
   * they are seen.
   */
  readonly flat?: number;
  /** Descriptors of exposed ports that are bound already: see `IngressOptions.descriptors`. Default: none. */
  readonly ingress?: ReadonlyMap<string, number>;
  /** Reads the text of a secret that `exposes` names. Default: there is none. @throws Error with the reason */
  readonly secret?: (name: string) => Promise<string>;
  /**
   * Milliseconds after the start, and after the last host of an earlier seed that has rejoined, in which others may
   * rejoin before anything is allocated. Default 2,000.
   */
  readonly grace?: number;
  /** Milliseconds after which a lost control connection means a lost host. Default 10,000. */
  readonly lostAfter?: number;
  /** Ports that a host is likely to open yet are waited for so long after its first, in milliseconds. Default: 10 s. */
  readonly expectLimit?: number;
  /** Milliseconds between signs of life on control connections. Default 5,000. */
  readonly heartbeat?: number;
  /** There is another seed: this one serves for as long as it holds the lease. Absent: it serves for as long as it runs. */
  readonly standby?: SeedStandby;
  /** Milliseconds from any start, by which allocations a minute are counted. Default: the machine's. */
  readonly clock?: () => number;
  /** Gets every step of every host's machine. Default: none. */
  readonly trace?: TraceWriter;
}

export interface SeedStandby {
  /** `address:port` of the other seed, for members. */
  readonly seed: string;
  /** `check` is called before anything is taken from or sent to a member, and new epochs begin with `epochClock`. */
  readonly lease: Pick<Lease, 'number' | 'check' | 'epochClock'>;
}

export interface Seed {
  /** `address:port` that is listened on. */
  readonly address: string;
  readonly dataPort: number;
  /** Reads the cluster keys again. @returns their ids. @throws what reading them throws; then they stay as they were */
  reload(): Promise<readonly string[]>;
  /**
   * Ends the seed. Hosts go on running and rejoin the next seed; with `down`, they are released first, which is waited
   * for as long as their commands and their guests may take.
   */
  stop(options?: { readonly down?: boolean }): Promise<void>;
}

const KEPT_EVENTS = { most: 10_000, bytes: 16 * 1024 * 1024 };
/** Bytes of the seed's own that may wait for a peer that does not read, besides one frame. */
const MOST_OWN = 1024 * 1024;
const GRACE = 2_000;
const LOST_AFTER = 10_000;
/** With `STANDBY_HEARTBEAT`: a member is silent for as long as without a standby before it is lost. */
const STANDBY_DEAD_AFTER = 30;

/** Starts a seed. @throws the error of listen(2), and what reading the keys throws */
export async function startSeed(options: SeedOptions): Promise<Seed> {
  const seed = new RunningSeed(options, new Keyring(options.manifest.cluster.name, await options.keys()));
  await seed.start();
  return seed;
}

class RunningSeed implements Seed {
  readonly #options: SeedOptions;
  readonly #events: EventLog;
  readonly #hosts = new Map<string, Machine>();
  readonly #members: Members;
  readonly #keyring: Keyring;
  readonly #grace: Grace;
  readonly #relay: Relay;
  readonly #ingress: Ingress;
  readonly #datagramIngress: DatagramIngress;
  readonly #data: WaitingData;
  readonly #clientWatches: ClientWatches;
  readonly #prefetch: Prefetch;
  readonly #membership: Membership;
  readonly #barriers: Barriers;
  readonly #services: Services;
  readonly #parked = new Parked();
  readonly #knocks = new Knocks();
  readonly #shared: Shared;
  /** Joins that wait: one of a connection at most. */
  readonly #afterGrace: Array<() => void> = [];
  #server: ControlServer | undefined;
  #stopping = false;

  constructor(options: SeedOptions, keyring: Keyring) {
    const { manifest, log, listen, grace = GRACE, lostAfter = LOST_AFTER, expectLimit = EXPECT_LIMIT } = options;
    const directory = directoryOf(manifest);
    this.#options = options;
    this.#keyring = keyring;
    this.#events = new EventLog(KEPT_EVENTS, ({ host, event, detail }) => {
      const level = event === 'failed' || event === 'limited' ? 'warn' : 'info';
      log(level, event, host === null ? detail : { ...detail, host });
    });
    this.#members = new Members(directory, this.#hosts);
    this.#services = new Services({
      directory,
      stateOf: (host) => this.#hosts.get(host)?.state,
      send: (member, frame) => this.#members.send(member, frame),
      events: this.#events,
    });
    this.#grace = new Grace({
      time: grace,
      joined: () => this.#members.size,
      handshaking: () => this.#server?.handshaking ?? 0,
      onEnd: () => {
        for (const join of this.#afterGrace.splice(0)) join();
        for (const host of this.#hosts.values()) host.handle({ type: 'wake' });
        this.#membership.open();
      },
    });
    // On network `flat` guests connect without their supervisor, which could not tell that they have.
    const expect = options.flat === undefined ? this.#members.expect.bind(this.#members) : undefined;
    this.#prefetch = new Prefetch(manifest, this.#hosts, this.#events, expect);
    this.#membership = new Membership({
      send: (member, frame) => this.#members.send(member, frame),
      onHost: (name, present, hosts) => this.#barriers.onHost(name, present, hosts),
    });
    this.#barriers = new Barriers({
      nameOf: (name) => directory.find(name)?.host.name,
      present: () => this.#membership.hosts,
      onAwaited: (host, by, is) => this.#hosts.get(host)?.handle({ type: 'awaited', by, is }),
      emit: (by, event, detail) => this.#events.emit(this.#hosts.has(by) ? by : null, event, { ...detail, by }, by),
    });
    const world = this.#world();
    manifest.hosts.forEach((entry, nodeId) => {
      this.#hosts.set(entry.name, new Machine({ entry, lostAfter, expectLimit }, nodeId, world));
    });
    const reload = () => this.reload();
    const native = loadNative();
    this.#relay = new Relay({
      native,
      listen: options.dataListen ?? `${listen.slice(0, listen.lastIndexOf(':'))}:0`,
      members: this.#members,
      events: this.#events,
      log,
      onCaller: (event) => this.#ingress.onCaller(event),
    });
    const ingress = {
      exposes: manifest.exposes ?? [],
      descriptors: options.ingress ?? new Map(),
      native,
      directory,
      hosts: this.#hosts,
      services: this.#services,
      members: this.#members,
      events: this.#events,
      log,
    };
    this.#ingress = new Ingress({
      ...ingress,
      relay: this.#relay,
      secret: options.secret ?? (() => Promise.reject(new Error('there are no secrets here'))),
    });
    this.#datagramIngress = new DatagramIngress({
      ...ingress,
      destination: (name) => this.#hosts.get(directory.find(name)?.host.name ?? ''),
      cidr: manifest.cluster.cidr,
    });
    const direct =
      options.flat === undefined ? () => [] : flatData(options.flat, native, (name) => this.#hosts.get(name)?.entry);
    this.#data = new WaitingData({
      suspended: () => [...world.suspended],
      sentTo: (host) => [...direct(host), ...this.#relay.sentTo(host)],
      onData: (host, by, epoch) => this.#hosts.get(host)?.handle({ type: 'data', by, epoch }),
    });
    this.#clientWatches = new ClientWatches({
      grace: lostAfter,
      send: (member, frame) => this.#members.send(member, frame),
      onGone: (client) => {
        this.#relay.clientGone(client);
        this.#membership.clientGone(client);
      },
    });
    this.#shared = {
      manifest,
      directory,
      hosts: this.#hosts,
      flat: options.flat,
      clients: new Clients(manifest, directory),
      clientWatches: this.#clientWatches,
      membership: this.#membership,
      barriers: this.#barriers,
      members: this.#members,
      portRanges: new PortRanges(log),
      knocks: this.#knocks,
      parked: this.#parked,
      relay: this.#relay,
      services: this.#services,
      data: this.#data,
      prefetch: this.#prefetch,
      answered: this.#datagramIngress.answered,
      standby: options.standby && { seed: options.standby.seed, heartbeat: options.heartbeat ?? STANDBY_HEARTBEAT },
      afterGrace: (act) => (this.#grace.over ? act() : void this.#afterGrace.push(act)),
      epochClock: options.standby?.lease.epochClock ?? Date.now,
      operator: new OperatorApi(manifest, this.#hosts, this.#events, this.#prefetch, reload),
      log,
    };
  }

  get address(): string {
    return this.#server!.address;
  }

  get dataPort(): number {
    return this.#relay.port;
  }

  async start(): Promise<void> {
    const { listen, heartbeat, log, standby, grace: graceMs = GRACE } = this.#options;
    const ring = this.#keyring;
    this.#server = await listenControl({
      listen,
      cluster: this.#options.manifest.cluster.name,
      heartbeat: heartbeat ?? (standby && STANDBY_HEARTBEAT),
      deadAfter: standby && STANDBY_DEAD_AFTER,
      check: standby?.lease.check,
      maxQueued: MOST_WAITING + MOST_OWN,
      secretOf: (identity) =>
        identity.kind === 'host' && !this.#hosts.has(identity.host) ? undefined : ring.expect(identity),
      onPeer: (identity, channel) => ring.watch(identity, channel, new Connection(this.#shared, identity, channel)),
      onRejected: (peer, reason) => log('warn', `a connection from ${peer} was rejected: ${reason}`, { peer }),
    }).catch((error) => {
      this.#relay.close();
      throw error;
    });
    this.#events.emit(null, 'seed-started', {
      address: this.#options.address ?? this.address,
      listen: this.address,
      dataPort: this.dataPort,
      hosts: this.#hosts.size,
      graceMs,
      ...(standby ? { standby: standby.seed, lease: standby.lease.number } : {}),
    });
    this.#grace.start();
    if (this.#grace.over) this.#membership.open();
    this.#ingress.open();
    this.#datagramIngress.open();
  }

  async reload(): Promise<readonly string[]> {
    await this.#ingress.reload();
    const ring = this.#keyring;
    const before = ring.ids.join(' ');
    ring.replace(await this.#options.keys());
    const accepted = ring.ids.join(' ');
    if (accepted !== before) this.#events.emit(null, 'keys-changed', { newest: ring.ids[0], accepted });
    return ring.ids;
  }

  async stop({ down = false }: { readonly down?: boolean } = {}): Promise<void> {
    this.#stopping = true;
    this.#grace.close();
    if (down) await this.#takeDown();
    this.#prefetch.close();
    for (const host of this.#hosts.values()) host.close();
    this.#data.close();
    this.#services.close();
    this.#clientWatches.close();
    this.#barriers.close();
    this.#knocks.close();
    this.#ingress.close();
    this.#datagramIngress.close();
    this.#relay.close();
    await this.#server!.close();
  }

  async #takeDown(): Promise<void> {
    const hosts = [...this.#hosts.values()];
    const ending = hosts.filter((host) => host.endsInOrder);
    const inOrder = new Set(ending.map(({ state }) => sessionOf(state)?.peer));
    for (const { channel, sender } of this.#members.all()) {
      if (!inOrder.has(sender.member)) channel.send({ type: 'stop', reason: 'the cluster goes down', fenced: false });
    }
    const ends = ending.map((host) => host.command('stop'));
    const limit = longestEnd(ending.map(({ entry }) => entry));
    await within(limit, Promise.all([...ends, ...hosts.map((host) => host.invocationEnded)]));
  }

  #world(): World {
    const { manifest, invoke, trace, clock = () => performance.now() } = this.#options;
    const followers = followersOf(manifest);
    return {
      cluster: manifest.cluster.name,
      address: () => this.#options.address ?? this.address,
      standby: this.#options.standby?.seed,
      epochClock: this.#options.standby?.lease.epochClock ?? Date.now,
      secretOf: (host, epoch) => this.#keyring.issue(host, epoch),
      invoke,
      trace,
      events: this.#events,
      limits: new Limits(manifest.cluster.limits, clock),
      connections: this.#members,
      costly: new Set(),
      suspended: new Set(),
      mayAllocate: () => this.#grace.over && !this.#stopping,
      onReturn: () => this.#grace.start(),
      onStanding: (name, state, epoch) => {
        const { nodeId: id, entry } = this.#hosts.get(name)!;
        this.#membership.changed({ id, name, address: entry.address, epoch, state }, true);
      },
      onPhase: (name) => {
        this.#services.changed(name);
        this.#prefetch.changed(name);
        this.#ingress.changed(name);
      },
      onOver: (name) => this.#parked.close(name),
      onEnded: (name, oldest) => this.#relay.ended(name, oldest),
      onStart: (name) => this.#prefetch.started(name),
      onUp: (name, up, ran) => {
        // Once its state is taken over.
        if (!up) {
          setImmediate(this.#data.look);
          this.#relay.sleeps(name);
          this.#prefetch.ended(name, ran);
        }
        for (const host of followers.get(name) ?? []) this.#hosts.get(host)?.handle({ type: 'companion', name, up });
      },
    };
  }
}

/** By a host's name, those that start with it. */
function followersOf({ hosts }: Manifest): ReadonlyMap<string, readonly string[]> {
  const followers = new Map<string, string[]>();
  for (const { name, startWith } of hosts) {
    for (const other of startWith) followers.set(other, [...(followers.get(other) ?? []), name]);
  }
  return followers;
}

async function within(limit: number, act: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeIsUp = new Promise((resolve) => {
    timer = setTimeout(resolve, limit);
  });
  await Promise.race([act, timeIsUp]);
  clearTimeout(timer);
}
