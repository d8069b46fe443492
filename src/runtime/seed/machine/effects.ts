import type { FromSeed } from '../../../contract/control/from-seed';
import type { Location } from '../../../contract/control/location';
import type { Invocation } from '../../../contract/platform/invocation';
import type { Excess } from '../allocator/limits';
import type { Detail } from '../operators/events';
import type { Cause, MemberId } from './state';

/** Timers of a phase; which of them run follows from the state: see `timersOf`. */
export type PhaseTimer =
  | 'deadline'
  | 'lost'
  | 'probe'
  | 'expect'
  | 'acks'
  | 'release'
  | 'retry'
  | 'start'
  | 'order'
  | 'doubt'
  | 'end';
export type TimerName = PhaseTimer | WaitTimer;
/** The deadline of one locate, by its member and id. */
export type WaitTimer = `wait ${MemberId}/${number}`;

/** What a step wants done. The interpreter does it in this order, after it has taken over the state. */
export type Effect =
  | { readonly type: 'emit'; readonly event: string; readonly detail?: Detail; readonly source?: string }
  /** An event that a supervisor is the source of: see `EventLog.emitSaid`. */
  | { readonly type: 'emitSaid'; readonly event: string; readonly detail: Detail }
  | { readonly type: 'send'; readonly member: MemberId; readonly frame: FromSeed }
  /** Ends a locate. */
  | {
      readonly type: 'answer';
      readonly member: MemberId;
      readonly frame: Extract<FromSeed, { type: 'located' | 'unreachable' }>;
    }
  /**
   * A supervisor that is connected although its epoch has ended: its sandbox may thaw any time, and would act for the
   * host.
   */
  | { readonly type: 'dismiss'; readonly member: MemberId; readonly reason: string }
  /** This control connection is dead, even if its end was not noticed yet. */
  | { readonly type: 'destroy'; readonly member: MemberId }
  /** From now on the member is sent the location, until the member is gone or the epoch ends. */
  | { readonly type: 'subscribe'; readonly member: MemberId }
  /** The same, and it is sent the present location now. */
  | { readonly type: 'tell'; readonly member: MemberId; readonly location: Location }
  | { readonly type: 'publish'; readonly location: Location }
  /** The same, and all subscriptions end: a member that wants the next epoch locates again. */
  | { readonly type: 'publishEnd'; readonly location: Location }
  /**
   * The subscribers' acknowledgements of what was published last are counted: `acks`, now and whenever the number
   * changes.
   */
  | { readonly type: 'awaitAcks' }
  /** May the host be started for this cause? Answered by `startGranted` or `startDenied`. */
  | { readonly type: 'seekStart'; readonly cause: Cause }
  /** So many locates of one member were refused, because it has started too many hosts. */
  | { readonly type: 'limited'; readonly by: string; readonly refused: number; readonly excess: Excess }
  /** `notBefore`: nothing is sent earlier. */
  | {
      readonly type: 'invoke';
      readonly number: number;
      readonly epoch: number;
      /** The epoch that the sandbox joins as, if it does not hold `epoch`. */
      readonly fresh?: number;
      /** Epochs before this one have ended. */
      readonly oldest: number;
      readonly action: Invocation['action'];
      readonly notBefore: number;
    }
  /** The host has another sandbox: whichever holds this epoch is to end its guests. Answered by `drained`. */
  | { readonly type: 'drain'; readonly epoch: number; readonly oldest: number }
  /** The host begins or ends to be allocated or to run: hosts that start with it are sent `companion`. */
  | { readonly type: 'up'; readonly up: boolean }
  /** Answers `command`. */
  | { readonly type: 'commandReply'; readonly id: number; readonly ok: boolean; readonly reason?: string }
  /** The open invocation is not tried again. A request that is on its way goes on. */
  | { readonly type: 'giveUp' }
  /** A host function that an earlier seed started has joined. */
  | { readonly type: 'returned' }
  /** Replaces the timer of this name. */
  | { readonly type: 'startTimer'; readonly name: TimerName; readonly delay: number }
  /** Does nothing where no timer of this name runs. */
  | { readonly type: 'cancelTimer'; readonly name: TimerName };
