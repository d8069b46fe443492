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

export interface Host {
  machine: Machine;
  /** Hosts that start with it. */
  readonly followers: readonly number[];
  /** Members that are sent the location. */
  subscribers: number[];
  requests: Request[];
  sandboxes: Sandbox[];
  /** Connections of supervisors that are gone: what they had sent is still to arrive. */
  dead: Link[];
  /** Sandboxes that were ever made. */
  made: number;
  /** By epoch, the life that this seed has let join as it. */
  lives: Record<number, string>;
  /** Another life joined as one of these. */
  twice?: boolean;
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

export interface World {
  /** `clock`: the time of day, which is another one for each seed. */
  seed: { up: boolean; mayAllocate: boolean; clock: number };
  hosts: Host[];
  clients: Client[];
  /** Members that have ever joined. */
  members: number;
  /** What is left of what may go wrong, and of what may happen again and again. */
  faults: number;
  cycles: number;
  /** Orders to stop a host. */
  orders: number;
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
  /** The second host starts with the first. */
  readonly startWith?: boolean;
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
