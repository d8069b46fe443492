import type { Cause, Running, Waiter } from './state';
import type { Turn } from './turn';
import { serve } from './waiters';

/** A member waits for the host: starts it, or ends its suspension, where the host needs that. */
export function wake(turn: Turn, { by, port, since }: Waiter) {
  const { phase, entry } = turn;
  const cause: Cause = { by, port, since };
  switch (phase.state) {
    case 'imagined':
      if (!turn.moment.mayAllocate) return;
      // A host instance joins by itself: the wait has a deadline.
      if (entry.kind === 'function') turn.do({ type: 'seekStart', cause });
      return;
    case 'suspended':
      return phase.releasing ? undefined : turn.do({ type: 'seekStart', cause });
    case 'running':
      return phase.fence?.stage === 'acks' ? cancelSuspension(turn, phase, cause) : undefined;
    case 'allocating':
    case 'failed':
      return;
    default:
      return phase satisfies never;
  }
}

/**
 * As `wake`, if a member waits: the oldest wait is the cause. If that member's budget is used up, the next may have
 * some left. Without a wait, the host may be to start by itself.
 */
export function wakeForWaiters(turn: Turn): void {
  const waiter = turn.state.waiters.at(0);
  if (waiter) wake(turn, waiter);
  else startByItself(turn);
}

/** The host pays for it, or the member that waits for it to join. */
function startByItself(turn: Turn): void {
  const { phase, entry, moment } = turn;
  const { own } = turn.state;
  const sleeps = phase.state === 'imagined' || (phase.state === 'suspended' && !phase.releasing);
  if (!sleeps || !moment.mayAllocate || !own || own.at !== undefined || entry.kind === 'instance') return;
  turn.do({ type: 'seekStart', cause: { by: own.by ?? entry.name, port: null, since: moment.at, why: own.why } });
}

/** The suspension is over: the host is running as before. */
export function dropFence(turn: Turn): void {
  const { phase } = turn;
  if (phase.state !== 'running' || !phase.fence) return;
  turn.enter({ ...phase, fence: undefined });
  turn.publish();
  serve(turn);
}

function cancelSuspension(turn: Turn, phase: Running, { by, port }: Cause): void {
  const member = phase.session.peer;
  turn.enter({ ...phase, fence: undefined });
  turn.publish();
  if (member !== undefined) {
    turn.do({ type: 'send', member, frame: { type: 'suspendReply', ok: false, reason: `'${by}' connects` } });
  }
  turn.emit('suspend-cancelled', { by, port });
  serve(turn);
}
