import type { ConnectErrno } from '../../../contract/control/errno';
import type { FromSeed } from '../../../contract/control/from-seed';
import type { HostState, Location, PortMapping } from '../../../contract/control/location';
import type { ManifestHost } from '../../../contract/manifest';
import type { NatReport, Sender } from '../../../contract/peer/peer-messages';
import type { Channel } from '../../control/channel';
import type { Lifeline } from '../allocator/lifeline';
import type { Inbox } from '../members/inbox';
import { now } from '../operators/events';

/** The other side of one control connection that has joined. */
export interface Peer {
  /** Who it is in events: a host's name or `client-N`; a client under a host's name is `NAME (client)`. */
  readonly name: string;
  readonly channel: Channel<FromSeed>;
  /** What other members send to it. */
  readonly inbox: Inbox;
  /** Who it is to other members. */
  sender: Sender;
  /** Its ports to punch from: first and count. */
  readonly ports: readonly [number, number];
  /** Open asks of this peer, by their id. */
  readonly locates: Map<number, Waiter>;
  /** Hosts whose location this peer is told. */
  readonly subscriptions: Set<Host>;
}

/** One ask that waits for a host's port. */
export interface Waiter {
  readonly peer: Peer;
  readonly id: number;
  readonly host: Host;
  readonly port: number;
  /** Absent: TCP. */
  readonly protocol?: 'udp';
  /** `performance.now()` of the guest's connect. */
  readonly since: number;
  readonly timer: NodeJS.Timeout;
}

/** What made a host be allocated or resumed. `port` is null when it was not an ask. */
export interface Cause {
  readonly by: string;
  readonly port: number | null;
  /** `performance.now()` */
  readonly since: number;
}

/** The supervisor of the current epoch, since it joined. */
export interface EpochSession {
  /** Undefined while the control connection is lost. */
  peer: Peer | undefined;
  /** Where it is directly reachable; undefined: nowhere. */
  address?: string;
  /** What it found out about its NAT. */
  nat?: NatReport;
  ports: readonly PortMapping[];
  /** It listens somewhere and adds no listeners any more. */
  settled: boolean;
  /** The same of its UDP ports, which say nothing about when it will listen. */
  settledDatagrams?: boolean;
  /** It was resumed: its guest ought to be there already. */
  woken: boolean;
  /** Its invocation returns, to be made again: maybe into a new sandbox. */
  renewing?: boolean;
  /** When it listened somewhere first: `performance.now()`. */
  listeningSince?: number;
  /** TCP ports that it is waited for although it has settled. Undefined: the time for that is over. */
  expected: Set<number> | undefined;
  /** Ends that time. */
  expecting?: NodeJS.Timeout;
  /** Runs while the connection is lost. */
  lost: NodeJS.Timeout | undefined;
}

/**
 * A suspension in progress. `acks`: the other hosts are being told; an ask ends it. `granted`: the host may go at any moment; asks
 * wait for its `leave` or `stay`.
 */
export interface Fence {
  stage: 'acks' | 'granted';
}

export type Phase =
  | { readonly state: 'imagined' }
  | {
      readonly state: 'allocating';
      readonly epoch: number;
      readonly cause: Cause;
      /** Not a new epoch: a suspended one is woken. Becomes false when its sandbox turns out to be new. */
      resume: boolean;
      /** With `resume`: what it listened on when it was suspended. */
      readonly had: readonly PortMapping[];
      readonly deadline: NodeJS.Timeout;
      /** Undefined until it joins. */
      session: EpochSession | undefined;
    }
  | {
      readonly state: 'running';
      readonly epoch: number;
      readonly session: EpochSession;
      fence: Fence | undefined;
    }
  | {
      readonly state: 'suspended';
      readonly epoch: number;
      /** What it listened on. */
      readonly had: readonly PortMapping[];
      readonly release: NodeJS.Timeout;
      /** Its guests are being stopped: it comes back as a new epoch only. */
      releasing: boolean;
    }
  | {
      readonly state: 'failed';
      readonly epoch: number;
      readonly errno: ConnectErrno;
      readonly reason: string;
      readonly retry: NodeJS.Timeout;
    };

/** Versions of a host's location that one peer was sent last, and has acknowledged. */
export interface Subscription {
  sent: number;
  acked: number;
}

/** All that the seed knows of one host. */
export interface Host {
  readonly entry: ManifestHost;
  readonly nodeId: number;
  phase: Phase;
  /** When `phase.state` began, Unix milliseconds. */
  stateSince: number;
  /** The highest epoch that was ever given out or seen. */
  lastEpoch: number;
  /** Epochs before this one have ended for certain: whoever joins as one is fenced. */
  minEpoch: number;
  /** Which life has joined as which epoch: the newest of each. */
  owner: { readonly epoch: number; readonly life: string | undefined } | undefined;
  /** `performance.now()` when a supervisor said last that its invocation is about to return. */
  leftAt: number;
  /** The last invocation, while it is open. */
  lifeline: Lifeline | undefined;
  readonly waiters: Set<Waiter>;
  /** TCP ports that were asked for since it was last listening somewhere. */
  readonly wanted: Set<number>;
  /** TCP ports that its epochs listened on, the newest last. */
  readonly served: Set<number>;
  /** Who is told the location. */
  readonly subscribers: Map<Peer, Subscription>;
  version: number;
  /** Called when a subscriber has acknowledged or gone. */
  onAck: (() => void) | undefined;
  allocations: number;
  allocateMs: number | null;
  /** Failures since it ran last: the back-off. */
  failures: number;
  /** Why it failed or ended last. */
  reason: string | undefined;
}

export function imaginedHost(entry: ManifestHost, nodeId: number): Host {
  return {
    entry,
    nodeId,
    phase: { state: 'imagined' },
    stateSince: now(),
    lastEpoch: 0,
    minEpoch: 0,
    owner: undefined,
    leftAt: Number.NEGATIVE_INFINITY,
    lifeline: undefined,
    waiters: new Set(),
    wanted: new Set(),
    served: new Set(),
    subscribers: new Map(),
    version: 0,
    onAck: undefined,
    allocations: 0,
    allocateMs: null,
    failures: 0,
    reason: undefined,
  };
}

/** Ends the timers of the phase that is left, so that none can act on the next one. */
export function enter(host: Host, phase: Phase): void {
  const old = host.phase;
  if (old.state === 'allocating') clearTimeout(old.deadline);
  if (old.state === 'suspended') clearTimeout(old.release);
  if (old.state === 'failed') clearTimeout(old.retry);
  const before = sessionOf(host);
  if (old.state !== phase.state) host.stateSince = now();
  host.phase = phase;
  if (!before || sessionOf(host) === before) return;
  clearTimeout(before.lost);
  clearTimeout(before.expecting);
}

export function sessionOf(host: Host): EpochSession | undefined {
  return host.phase.state === 'allocating' || host.phase.state === 'running' ? host.phase.session : undefined;
}

export function epochOf(host: Host): number | null {
  return host.phase.state === 'imagined' ? null : host.phase.epoch;
}

/** Ports that other hosts may know of. */
export function visiblePorts(ports: readonly PortMapping[]): PortMapping[] {
  return ports.filter((p) => p.scope !== 'loopback');
}

/** Ports that others are told of at once, so that one host's do not fill their tables and their connections. They ask for any other. */
const MOST_PORTS = 256;

/** Where the host is, as others are told. During a suspension it is already `suspended`. */
export function locationOf(host: Host): Location {
  const { phase } = host;
  const epoch = epochOf(host) ?? host.lastEpoch;
  if (phase.state !== 'running') return { host: host.entry.name, epoch, state: phase.state, ports: [] };
  const state: HostState = phase.fence ? 'suspended' : 'running';
  if (state === 'suspended') return { host: host.entry.name, epoch, state, ports: [] };
  const { address, ports, nat } = phase.session;
  return { host: host.entry.name, epoch, state, address, ports: visiblePorts(ports).slice(0, MOST_PORTS), nat };
}
