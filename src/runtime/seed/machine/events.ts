import type { PortMapping } from '../../../contract/control/location';
import type { HeldBy, HostCommand, ReportedEvent, ToSeed } from '../../../contract/control/to-seed';
import type { NatReport } from '../../../contract/peer/peer-messages';
import type { Invocation } from '../../../contract/platform/invocation';
import type { InvokeOutcome } from '../allocator/lambda';
import type { Excess } from '../allocator/limits';
import type { Detail } from '../operators/events';
import type { TimerName } from './effects';
import type { Cause, MemberId } from './state';

/** What a step knows of the world besides its event. */
export interface Moment {
  /** Milliseconds on a clock that only goes forward. */
  readonly at: number;
  /** Milliseconds since 1970. */
  readonly wall: number;
  /** From 0 to 1: it spreads back-offs. */
  readonly random: number;
  /** False while hosts of an earlier seed may still rejoin, and once the seed is being stopped. */
  readonly mayAllocate: boolean;
}

/** One invocation of the host's function, by its number. */
interface OfInvocation {
  readonly number: number;
  readonly epoch: number;
  readonly action: Invocation['action'];
}

/** A supervisor joins as an epoch. */
export interface Join {
  readonly type: 'join';
  readonly member: MemberId;
  readonly epoch: number;
  readonly life?: string;
  readonly born?: number;
  readonly address?: string;
  readonly ports: readonly PortMapping[];
  readonly nat?: NatReport;
}

/** A member locates a port. `waited`: milliseconds that its guest has waited already. */
export interface Locate {
  readonly type: 'locate';
  readonly member: MemberId;
  readonly by: string;
  readonly id: number;
  readonly port: number;
  readonly waited: number;
  readonly protocol?: 'udp';
}

/** Sent by the supervisor of the current epoch; from any other member, nothing comes of it. */
export type SessionEvent =
  | {
      readonly type: 'ports';
      readonly member: MemberId;
      readonly ports: readonly PortMapping[];
      readonly settled: boolean;
      readonly settledDatagrams?: boolean;
    }
  | { readonly type: 'natReport'; readonly member: MemberId; readonly nat: NatReport }
  | { readonly type: 'report'; readonly member: MemberId; readonly event: ReportedEvent; readonly detail: Detail }
  | { readonly type: 'held'; readonly member: MemberId; readonly by: HeldBy; readonly what?: string }
  | { readonly type: 'suspend'; readonly member: MemberId }
  | { readonly type: 'stay'; readonly member: MemberId }
  | { readonly type: 'leave'; readonly member: MemberId; readonly frame: Extract<ToSeed, { type: 'leave' }> }
  /** Its control connection has ended without a `leave`. */
  | { readonly type: 'lost'; readonly member: MemberId; readonly reason: string };

/** What becomes of an invocation. */
export type InvocationEvent =
  /** A request is sent. */
  | (OfInvocation & { readonly type: 'sent'; readonly attempt: number })
  | (OfInvocation & { readonly type: 'throttled'; readonly attempt: number; readonly reason: string })
  | (OfInvocation & { readonly type: 'ended'; readonly repeated: boolean; readonly outcome: InvokeOutcome });

export type MachineEvent =
  /** What became of the effect `drain`. */
  | { readonly type: 'drained'; readonly epoch: number; readonly outcome: InvokeOutcome }
  | Join
  | Locate
  | SessionEvent
  | InvocationEvent
  | { readonly type: 'cancel'; readonly member: MemberId; readonly id: number }
  /** The member has connections with that epoch. */
  | { readonly type: 'watch'; readonly member: MemberId; readonly epoch: number }
  /** Bytes wait for that epoch on an open connection of `by`; 0: the present one. */
  | { readonly type: 'data'; readonly by: string; readonly epoch: number }
  /** The member is gone, and with it its locates. */
  | { readonly type: 'gone'; readonly member: MemberId }
  /** Hosts may be allocated from now on. */
  | { readonly type: 'wake' }
  /** Answers to the effect `seekStart`. */
  | { readonly type: 'startGranted'; readonly cause: Cause }
  | { readonly type: 'startDenied'; readonly cause: Cause; readonly excess: Excess }
  /** So many subscribers have not acknowledged the location that `awaitAcks` was about. */
  | { readonly type: 'acks'; readonly missing: number }
  /** A host that this one starts with begins or ends to run. */
  | { readonly type: 'companion'; readonly name: string; readonly up: boolean }
  /** A host that is likely to connect to this one is started: `by`. */
  | { readonly type: 'prefetch'; readonly by: string }
  /** `by` waits for the host to join, or does not any longer. */
  | { readonly type: 'awaited'; readonly by: string; readonly is: boolean }
  /** It is time by the host's `wakeSchedule`. */
  | { readonly type: 'scheduled' }
  /** Of an operator. Answered by `commandReply` with the same id. */
  | { readonly type: 'command'; readonly id: number; readonly command: HostCommand }
  | { readonly type: 'timer'; readonly name: TimerName };
