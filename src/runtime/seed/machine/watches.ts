/** Members that have connections with an epoch, and are to know when it ends. */
import type { MachineEvent } from './events';
import { startOwn } from './own-start';
import { locationOf } from './state';
import type { Turn } from './turn';

/** A member's clock and the one of the seed that gave the epoch may differ by so much, in milliseconds. */
const CLOCK_SKEW = 3_600_000;

export function onWatch(turn: Turn, { member, epoch }: Extract<MachineEvent, { type: 'watch' }>): void {
  const { state, moment, entry } = turn;
  if (epoch < state.oldest) turn.do({ type: 'tell', member, location: locationOf(state) });
  else turn.do({ type: 'subscribe', member });
  // Of an earlier seed. Only an invocation can tell whether it is still there.
  const unknown = epoch > state.lastEpoch && epoch <= moment.wall + CLOCK_SKEW;
  if (unknown && turn.phase.state === 'imagined' && entry.kind === 'function')
    startOwn(turn, 'connections with an epoch of an earlier seed');
}
