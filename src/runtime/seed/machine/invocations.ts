/** What the invocation of a host function reports: requests that were sent, 429, and its end. */
import type { InvocationResult } from '../../../contract/platform/invocation';
import type { InvokeOutcome } from '../allocator/lambda';
import type { InvocationEvent, MachineEvent } from './events';
import { exited, fail, lose, loseConnection, released, renew, suspended } from './phases';
import type { Turn } from './turn';

type Of<T extends InvocationEvent['type']> = Extract<InvocationEvent, { type: T }>;

const RELEASE_ATTEMPTS = 6;

export function onSent(turn: Turn, { number, epoch, action, attempt }: Of<'sent'>): void {
  const { invocation } = turn.state;
  if (invocation?.number === number && invocation.throttled)
    turn.set({ invocation: { ...invocation, throttled: false } });
  turn.emit('invoked', { epoch, action, attempt });
}

export function onThrottled(turn: Turn, { number, epoch, action, attempt, reason }: Of<'throttled'>): void {
  const { invocation } = turn.state;
  if (invocation?.number === number) turn.set({ invocation: { ...invocation, throttled: true } });
  turn.emit('throttled', { epoch, action, attempt, reason });
  // What keeps the function busy is not ours. The next epoch fences it out.
  if (action !== 'release' || attempt < RELEASE_ATTEMPTS || !isReleasing(turn, epoch)) return;
  turn.do({ type: 'giveUp' });
  released(turn, { note: `its guests could not be stopped: ${reason}` });
}

export function onEnded(turn: Turn, { number, action, repeated, outcome }: Of<'ended'>) {
  reportCommands(turn, outcome);
  const { invocation } = turn.state;
  // Something newer has begun, or it was given up.
  if (invocation?.number !== number) return;
  // Of the epoch that the sandbox has joined as.
  const { epoch } = invocation;
  turn.set({ invocation: undefined });
  // It has returned: the next one need not wait for that.
  if (!repeated && (outcome.kind === 'result' || outcome.kind === 'function-error')) turn.set({ leftAt: undefined });
  if (action === 'release') {
    if (isReleasing(turn, epoch)) released(turn, outcome.kind === 'result' ? {} : { note: describe(outcome) });
    return;
  }
  const { phase, session } = turn;
  // Its supervisor has reported the end already.
  const live = phase.state === 'allocating' || phase.state === 'running';
  if (!live || phase.epoch !== epoch) return;
  const fenced = outcome.kind === 'result' && outcome.result.outcome === 'fenced';
  if (outcome.kind === 'result' && !(fenced && session)) return onResult(turn, outcome.result);
  const message = outcome.kind === 'result' ? 'it was answered by a second sandbox' : describe(outcome);
  const doubtful = outcome.kind === 'broken' || (outcome.kind === 'function-error' && repeated);
  if (fenced || (doubtful && session)) {
    // Only our request is gone: the host's `leave` will report the end; without a connection, a probe will.
    turn.emit('lifeline-lost', { epoch, reason: message });
    return session?.peer === undefined ? loseConnection(turn) : undefined;
  }
  if (outcome.kind === 'denied') return fail(turn, 'EHOSTUNREACH', message, { error: outcome.kind });
  // A function that has ended takes its epoch with it. Where that is not certain, it may still come back.
  if (outcome.kind === 'function-error') turn.end(epoch);
  lose(turn, message, { error: outcome.kind === 'function-error' ? outcome.error : outcome.kind });
}

/** The guests of an epoch whose host has another sandbox have ended, or could not be found. */
export function onDrained(turn: Turn, { epoch, outcome }: Extract<MachineEvent, { type: 'drained' }>): void {
  reportCommands(turn, outcome);
  turn.emit('drained', { epoch, ...(outcome.kind !== 'result' && { note: describe(outcome) }) });
}

/** How the host's commands went, where its supervisor could not report it. */
function reportCommands(turn: Turn, outcome: InvokeOutcome): void {
  if (outcome.kind !== 'result') return;
  const { epoch, commands = [] } = outcome.result;
  for (const { reason, ...command } of commands) {
    const failed = reason === undefined ? undefined : { reason };
    turn.emitSaid(failed ? 'command-failed' : 'command-done', { ...command, ...failed, epoch });
  }
}

function isReleasing({ phase }: Turn, epoch: number): boolean {
  return phase.state === 'suspended' && phase.releasing && phase.epoch === epoch;
}

/** What the function returned, where its supervisor's `leave` did not get through. */
function onResult(turn: Turn, result: InvocationResult) {
  switch (result.outcome) {
    case 'suspended':
      return suspended(turn);
    case 'exited':
      return exited(turn, result);
    case 'released':
      return released(turn);
    case 'renew':
      return renew(turn);
    case 'fenced':
      // Of a seed whose clock went before this one's: the next epoch is to be newer.
      turn.set({ lastEpoch: Math.max(turn.state.lastEpoch, result.held ?? 0) });
      return lose(turn, 'the sandbox belongs to a newer epoch');
    default:
      return result.outcome satisfies never;
  }
}

function describe(outcome: Exclude<InvokeOutcome, { kind: 'result' }>): string {
  switch (outcome.kind) {
    case 'function-error':
      return `the host function failed: ${outcome.error}: ${outcome.message}`;
    case 'throttled':
      return `the host function could not be started: ${outcome.reason}`;
    case 'broken':
      return `the invocation was lost: ${outcome.code}: ${outcome.message}`;
    case 'denied':
      return `the invocation was denied: ${outcome.code}: ${outcome.message}`;
    default:
      return outcome satisfies never;
  }
}
