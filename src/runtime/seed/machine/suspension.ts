/**
 * How an idle host is suspended: its subscribers are sent that it cannot be reached, and once they have acknowledged
 * that (or their time is over) its supervisor may go.
 */
import { replySuspend, run } from './phases';
import { isEnding } from './state';
import type { Turn } from './turn';
import { dropFence } from './wake';

/** A peer that does not acknowledge a location within this time does not hold up a suspension. */
const ACK_LIMIT = 500;

export function onSuspend(turn: Turn) {
  const waiting = turn.state.waiters.length;
  if (turn.entry.kind === 'instance')
    return replySuspend(turn, { ok: false, reason: 'a host instance is not suspended' });
  if (waiting > 0) return replySuspend(turn, { ok: false, reason: `${waiting} connections wait for this host` });
  const [companion] = turn.state.companions;
  if (companion) return replySuspend(turn, { ok: false, reason: `'${companion}' runs, which this host starts with` });
  // Its guest never listened, and is idle.
  if (turn.phase.state === 'allocating') run(turn, { listening: false });
  const { phase } = turn;
  if (phase.state !== 'running') return;
  if (isEnding(turn.state)) return replySuspend(turn, { ok: false, reason: 'the host is being released' });
  if (phase.fence) return;
  turn.enter({ ...phase, fence: { stage: 'acks', until: turn.moment.at + ACK_LIMIT, missing: 0 } });
  turn.emitSaid('suspending', { epoch: phase.epoch });
  turn.publish();
  turn.do({ type: 'awaitAcks' });
}

/** So many subscribers have yet to acknowledge the location. */
export function onAcks(turn: Turn, missing: number) {
  const { phase } = turn;
  if (phase.state !== 'running' || phase.fence?.stage !== 'acks') return;
  if (missing === 0) return grant(turn);
  turn.enter({ ...phase, fence: { ...phase.fence, missing } });
}

export function onAckLimit(turn: Turn): void {
  const { phase } = turn;
  if (phase.state !== 'running' || phase.fence?.stage !== 'acks') return;
  turn.emitSaid('unacknowledged', { epoch: phase.epoch, peers: phase.fence.missing, waitedMs: ACK_LIMIT });
  grant(turn);
}

export function onStay(turn: Turn): void {
  if (turn.phase.state !== 'running' || turn.phase.fence?.stage !== 'granted') return;
  turn.emitSaid('suspend-cancelled', { by: turn.entry.name, port: null });
  dropFence(turn);
}

function grant(turn: Turn): void {
  if (turn.phase.state === 'running') turn.enter({ ...turn.phase, fence: { stage: 'granted' } });
  replySuspend(turn, { ok: true });
}
