/**
 * A cluster as the model has it: plain data, so that a state can be copied, compared and printed. Time stands still:
 * timers fire in any order, and what is under way arrives whenever it likes.
 */
import type { Invocation, InvocationResult } from '../../../contract/platform/invocation';
import type { InvokeOutcome } from '../allocator/lambda';
import type { MachineEvent } from '../machine/events';
import type { HostState } from '../machine/state';

/** What the seed knows of a host, without what never changes. */
export type Machine = Omit<HostState, 'settings'>;

/** What is under way from a member to the seed: the machine's own events, but for the member. */
export type Report<E = MachineEvent> = E extends { readonly member: number } ? Omit<E, 'member'> : never;

/** What is under way from the seed to a member. */
export type Word =
  | { readonly type: 'answer'; readonly id: number; readonly epoch?: number; readonly errno?: string }
  | {
      readonly type: 'location';
      readonly host: number;
      readonly epoch: number;
      readonly oldest: number;
      readonly state: string;
      readonly end: boolean;
    }
  | { readonly type: 'suspendReply'; readonly ok: boolean }
  | { readonly type: 'release' }
  | { readonly type: 'stop' };

/** A control connection. What was sent arrives in order. */
export interface Link {
  readonly member: number;
  /** The seed at its other end. */
  readonly seed: number;
  /** The host whose supervisor this is; of a client: undefined. */
  readonly host?: number;
  /** `at`: of a client's, the host that it is about. */
  up: Array<Report & { readonly at?: number }>;
  down: Word[];
  /** The seed has closed its end, or died. */
  closed?: boolean;
}

/** One invocation, from the request to its end. */
export interface Call {
  readonly number: number;
  readonly epoch: number;
  readonly fresh?: number;
  readonly oldest: number;
  readonly action: Invocation['action'];
  /** The seed that made it. */
  readonly seed: number;
  /** No further try. */
  stopped?: boolean;
  /** The seed that made it has died: nobody hears of its end. */
  orphan?: boolean;
}

/** A request on its way to the platform; answered with 429, to be tried again; or its answer on its way back. */
export type Request =
  | { readonly at: 'sent' | 'waits'; readonly call: Call }
  | { readonly at: 'ends'; readonly call: Call; readonly outcome: InvokeOutcome };

/** A sandbox that the platform made for a host. Without a run it is frozen. */
export interface Sandbox {
  readonly id: number;
  /** The epoch whose guests it holds. */
  holds?: number;
  /** The epoch as which they were started. */
  born?: number;
  /** The guests listen. */
  listens?: boolean;
  /** Sets of guests that it has had: the life that a supervisor joins with. */
  guests: number;
  run?: Run;
}

/** An invocation in a sandbox. */
export interface Run {
  readonly call: Call;
  /** What the sandbox joins as. */
  readonly epoch: number;
  /** The supervisor has sent `suspend`, and waits for the reply. */
  asks?: boolean;
  /** Undefined: not connected, before and after it was. */
  link?: Link;
}

/** A machine that a host instance may run on. */
export interface Place {
  /** `imaginary join` runs there. */
  runs?: boolean;
  /** Its guest listens. */
  listens?: boolean;
  /** The epoch that it has joined as. */
  epoch?: number;
  /** Guests that it has had. */
  lives: number;
  link?: Link;
}

/** What a seed knows of a host, and has let happen. */
export interface Known {
  machine: Machine;
  /** Members that are sent the location. */
  subscribers: number[];
  /** By epoch, the life that this seed has let join as it. */
  lives: Record<number, string>;
}

/** With what the seed that serves knows of it. */
export interface Host extends Known {
  /** Hosts that start with it. */
  readonly followers: readonly number[];
  /** Hosts that are started with it. */
  readonly edges: readonly number[];
  requests: Request[];
  sandboxes: Sandbox[];
  /** Of a host instance; of a function: none. */
  places: Place[];
  /** Connections of supervisors that are gone: what they had sent is still to arrive. */
  dead: Link[];
  /** Sandboxes that were ever made. */
  made: number;
  /** Another life joined as one of these. */
  twice?: boolean;
  /** A machine was let in while another one was connected. */
  takenOver?: boolean;
}

/** A client: it locates port 80 of one host at a time. */
export interface Client {
  link?: Link;
  /** The locate that is open. */
  open?: { readonly id: number; readonly host: number };
  /** Locates that are left to it. */
  left: number;
  ids: number;
  /** The newest epoch that it was answered with, by host. */
  seen: number[];
  /** It was answered with an older epoch than before. */
  older?: boolean;
  /** The epoch that it has a connection to, by host. 0: none. */
  connected: number[];
}

export interface Seed {
  readonly id: number;
  up: boolean;
  mayAllocate: boolean;
  /** The time of day, as epochs begin with it: another one for each seed. */
  clock: number;
}

export interface World {
  /** The seed that serves. */
  seed: Seed;
  /**
   * A seed whose lease has passed to the one that serves. It does not know that before it looks at its lease, which ended
   * for it at `end`.
   */
  former?: { seed: Seed; readonly end: number; known: Known[] };
  /** What the clock shows that leases are counted by. It stands still but for the time that a lease takes to end. */
  time: number;
  hosts: Host[];
  clients: Client[];
  /** Members that have ever joined. */
  members: number;
  /** What is left of what may go wrong, and of what may happen again and again. */
  faults: number;
  cycles: number;
  /** Orders to stop a host. */
  orders: number;
  /** Times that a machine is started as a host instance. */
  joins: number;
}

/** The size of a model. */
export interface Size {
  readonly hosts: number;
  /** Locates of each client. */
  readonly clients: readonly number[];
  readonly faults: number;
  /** Suspensions and renewals. */
  readonly cycles: number;
  /** Orders to stop a host. Default: none. */
  readonly orders?: number;
  /** The first host is an instance, which so many machines may join as: twice in all. */
  readonly machines?: number;
  /** The second host starts with the first. */
  readonly startWith?: boolean;
  /** Each of the two hosts is started with the other: a circle of edges. */
  readonly edges?: boolean;
  /** There is another seed: a fault may be that the lease passes to it, while the first stands still. */
  readonly standby?: boolean;
  /** Functions have a reserved concurrency of one. */
  readonly reserved: boolean;
}

export function result(
  epoch: number,
  outcome: InvocationResult['outcome'],
  more: { exitCode?: number; held?: number } = {},
): InvokeOutcome {
  return { kind: 'result', result: { host: 'host', epoch, outcome, ...more } };
}
