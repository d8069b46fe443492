/**
 * What a machine knows of one host: plain data. Members and invocations are numbers here, timers are the times they are
 * due.
 */
import type { ConnectErrno } from '../../../contract/control/errno';
import type { Location, PortMapping, HostState as State } from '../../../contract/control/location';
import type { HeldBy } from '../../../contract/control/to-seed';
import type { ManifestHost } from '../../../contract/manifest';
import type { NatReport } from '../../../contract/peer/peer-messages';

/** What setTimeout can do: 24 days, longer than any platform keeps a sandbox. Milliseconds. */
export const MAX_TIMER = 2 ** 31 - 1;
/** An epoch may come from a seed whose clock went that much before this one's, in milliseconds. */
export const CLOCK_SKEW = 3_600_000;

/** A member that has joined, by its number (`Sender.member`): each connection has another one. */
export type MemberId = number;

/** One locate that waits for a host's port. */
export interface Waiter {
  readonly member: MemberId;
  /** The member's name in events. */
  readonly by: string;
  /** The locate's id: the member chose it. */
  readonly id: number;
  readonly port: number;
  /** Absent: TCP. */
  readonly protocol?: 'udp';
  /** When the guest connected. */
  readonly since: number;
}

/** The reason for an allocation or a resumption. `port` is null when it was not a locate. */
export interface Cause {
  readonly by: string;
  readonly port: number | null;
  readonly since: number;
  /** Of a start that no connect is the cause of: the cause. */
  readonly why?: string;
  /** It is started before anybody waits for it: see `../prefetch`. */
  readonly ahead?: boolean;
}

/** The host is to be started, although no member may wait for it: at this time, or (undefined) as soon as it may. */
export interface OwnStart {
  readonly why: string;
  readonly at?: number;
  /** The member that waits for it to join, and pays. Absent: the host itself pays. */
  readonly by?: string;
}

/** Whether others count on the host: its supervisor has joined, or has left it suspended. */
export type Standing = 'joined' | 'suspended' | 'left';

export function standingOf({ phase }: HostState): Standing {
  if (phase.state === 'running') return 'joined';
  if (phase.state === 'suspended') return phase.releasing ? 'left' : 'suspended';
  if (phase.state !== 'allocating') return 'left';
  return phase.session ? 'joined' : phase.resume ? 'suspended' : 'left';
}

/** An operator waits until the host is so, or until `due`. */
export interface Order {
  readonly id: number;
  readonly until: 'running' | 'imagined';
  readonly due: number;
}

/** What keeps a host from being idle, and since when. */
export interface Holder {
  readonly by: HeldBy;
  readonly what?: string;
  readonly since: number;
}

/** The supervisor of the current epoch, since it joined. */
export interface EpochSession {
  /** Undefined while the control connection is lost. */
  readonly peer: MemberId | undefined;
  /** Where the host is directly reachable; undefined: nowhere. */
  readonly address?: string;
  readonly nat?: NatReport;
  readonly ports: readonly PortMapping[];
  /** The host listens somewhere, and adds no listeners any more. */
  readonly settled: boolean;
  /** The same of its UDP ports, which say nothing about when it will listen. */
  readonly settledDatagrams?: boolean;
  /** The host was resumed: its guest ought to be there already. */
  readonly woken: boolean;
  /** When the host listened somewhere first. */
  readonly listeningSince?: number;
  /** TCP ports that are waited for although the host has settled. Undefined: the time for that is over. */
  readonly expected: readonly number[] | undefined;
  /** Why it is not ready for connects, as it said last. */
  readonly notReady?: string;
  /** What keeps it from being idle, as it said last. */
  readonly heldBy?: Holder;
  /** The end of that time. */
  readonly expectUntil?: number;
  /** While the connection is lost: when the host is given up. */
  readonly lostAt?: number;
  /** While the connection is lost and no invocation is open: when the platform is asked by one. */
  readonly probeAt?: number;
}

/**
 * A suspension in progress. `acks`: the subscribers are sent the location; a locate ends the suspension. `granted`: the
 * host may go at any moment; locates wait for its `leave` or `stay`. `ending`: an operator has ordered its release;
 * locates wait for its `leave`, and start the next epoch.
 */
export type Fence =
  | { readonly stage: 'acks'; readonly until: number; readonly missing: number }
  | { readonly stage: 'granted' }
  | { readonly stage: 'ending'; readonly until: number };

export interface Imagined {
  readonly state: 'imagined';
}

export interface Allocating {
  readonly state: 'allocating';
  readonly epoch: number;
  readonly cause: Cause;
  /** Not a new epoch: a suspended one is woken. */
  readonly resume: boolean;
  /** With `resume`: what the host listened on when it was suspended. */
  readonly had: readonly PortMapping[];
  readonly deadline: number;
  /** Undefined until a supervisor joins. */
  readonly session: EpochSession | undefined;
}

export interface Running {
  readonly state: 'running';
  readonly epoch: number;
  readonly session: EpochSession;
  readonly fence: Fence | undefined;
}

export interface Suspended {
  readonly state: 'suspended';
  readonly epoch: number;
  /** What the host listened on. */
  readonly had: readonly PortMapping[];
  readonly releaseAt: number;
  /** The guests are being stopped: the host comes back as a new epoch only. */
  readonly releasing: boolean;
}

export interface Failed {
  readonly state: 'failed';
  readonly epoch: number;
  /** What locates are refused with: the guest has failed. Undefined: the platform has, and locates wait. */
  readonly errno?: ConnectErrno;
  readonly reason: string;
  /** The end of the back-off. */
  readonly retryAt: number;
}

export type Phase = Imagined | Allocating | Running | Suspended | Failed;

/** The last invocation, while it is open. */
export interface OpenInvocation {
  readonly number: number;
  readonly epoch: number;
  /** The epoch that a sandbox joins as, if it does not hold the other one. */
  readonly fresh?: number;
  /** Nothing is under way: the last try was answered with 429, and the next is to come. */
  readonly throttled: boolean;
}

/** What never changes. Times are in milliseconds. */
export interface Settings {
  readonly entry: ManifestHost;
  /** After this time a lost control connection means a lost host. */
  readonly lostAfter: number;
  /** Expected ports are waited for so long after the first listener of an epoch. */
  readonly expectLimit: number;
}

/** All that a machine knows of its host. Times are `Moment.at`. */
export interface HostState {
  readonly settings: Settings;
  readonly phase: Phase;
  /** When `phase.state` began. */
  readonly stateSince: number;
  /** The highest epoch that was ever given out or seen. */
  readonly lastEpoch: number;
  /** Epochs before this one have ended for certain: a supervisor that joins as one of them is fenced. */
  readonly minEpoch: number;
  /** Guests of epochs before this one have ended for certain. Guests may live on as a later epoch than their first. */
  readonly oldest: number;
  /** The newest epoch that has joined, and the life that joined as it last. */
  readonly owner: { readonly epoch: number; readonly life: string | undefined } | undefined;
  /** It may have ended, or be out of reach. At that time it has ended for certain. */
  readonly doubt: { readonly epoch: number; readonly until: number } | undefined;
  /** When a supervisor reported last that its invocation is about to return. */
  readonly leftAt: number | undefined;
  readonly invocation: OpenInvocation | undefined;
  /** Invocations that were ever opened: their numbers count from 1. */
  readonly invocations: number;
  /** The oldest first. */
  readonly waiters: readonly Waiter[];
  /** Until the host runs. */
  readonly own: OwnStart | undefined;
  /** Hosts that this one starts with and that are up: it is not suspended before them. */
  readonly companions: readonly string[];
  /** Restarts in a row by the restart policy. */
  readonly restarts: number;
  readonly orders: readonly Order[];
  /** TCP ports that were located since the host was last listening somewhere. */
  readonly wanted: readonly number[];
  /** TCP ports that its epochs listened on, the newest last. */
  readonly served: readonly number[];
  /** It was started ahead of the connects to it: they are answered as if they had been there before. */
  readonly ahead: boolean;
  readonly allocations: number;
  readonly allocateMs: number | null;
  /** Failures since it ran last: the back-off. */
  readonly failures: number;
  /** Why it failed or ended last. */
  readonly reason: string | undefined;
  /** What held it last, until it was suspended or its epoch ended. */
  readonly lastHeldBy: (Holder & { readonly until: number }) | undefined;
}

export function imaginedHost(settings: Settings, at: number): HostState {
  return {
    settings,
    phase: { state: 'imagined' },
    stateSince: at,
    lastEpoch: 0,
    minEpoch: 0,
    oldest: 0,
    owner: undefined,
    doubt: undefined,
    leftAt: undefined,
    invocation: undefined,
    invocations: 0,
    waiters: [],
    own: undefined,
    companions: [],
    restarts: 0,
    orders: [],
    wanted: [],
    served: [],
    ahead: false,
    allocations: 0,
    allocateMs: null,
    failures: 0,
    reason: undefined,
    lastHeldBy: undefined,
  };
}

export function sessionOf({ phase }: HostState): EpochSession | undefined {
  return phase.state === 'allocating' || phase.state === 'running' ? phase.session : undefined;
}

export function epochOf({ phase }: HostState): number | null {
  return phase.state === 'imagined' ? null : phase.epoch;
}

/** The epoch after all others, also after those of an earlier seed: `wall` is the time of day. */
export function nextEpoch({ lastEpoch }: HostState, wall: number): number {
  return Math.max(lastEpoch + 1, wall);
}

export function isUp({ phase }: HostState): boolean {
  return phase.state === 'allocating' || phase.state === 'running';
}

/** It is up, and about to be released. */
export function isEnding({ phase }: HostState): boolean {
  return phase.state === 'running' && phase.fence?.stage === 'ending';
}

/** Whether its supervisor, which is not connected, is to join as the same epoch once more: resumed, or renewed. */
export function isToReturn({ phase }: HostState): boolean {
  if (phase.state === 'suspended') return !phase.releasing;
  return (
    (phase.state === 'running' || (phase.state === 'allocating' && phase.resume)) && phase.session?.peer === undefined
  );
}

/** Whether this step has allocated the host anew: its guests are to begin from the start. */
export function isStartedAnew(before: HostState, { phase }: HostState): boolean {
  if (phase.state !== 'allocating' || phase.resume || phase.session) return false;
  return before.phase.state !== 'allocating' || before.phase.epoch !== phase.epoch;
}

/** Whether the platform charges for the host now. */
export function costs(state: HostState): boolean {
  return state.settings.entry.kind === 'function' && isUp(state);
}

/** Ports that other hosts may know of. */
export function visiblePorts(ports: readonly PortMapping[]): PortMapping[] {
  return ports.filter((p) => p.scope !== 'loopback');
}

/** A port as the guest knows it. */
export function portName({ port, protocol }: Pick<PortMapping, 'port' | 'protocol'>): string {
  return `${port}/${protocol ?? 'tcp'}`;
}

/**
 * Ports of one location: one host's do not fill the tables and connections of others, which locate any further port.
 */
const MOST_PORTS = 256;

/** Where the host is, as others are sent it. During a suspension it is already `suspended`. */
export function locationOf(state: HostState): Location {
  const { phase, lastEpoch } = state;
  const host = state.settings.entry.name;
  const oldest = state.oldest || undefined;
  const at = (now: State): Location => ({ host, epoch: epochOf(state) ?? lastEpoch, oldest, state: now, ports: [] });
  if (phase.state !== 'running') return at(phase.state);
  if (phase.fence) return at('suspended');
  const { address, ports, nat } = phase.session;
  return { ...at('running'), address, ports: visiblePorts(ports).slice(0, MOST_PORTS), nat };
}
