/** Members that have connections with an epoch: they are to know when it ends, and what they send wakes it. */
import type { MachineEvent } from './events';
import { startOwn } from './own-start';
import { CLOCK_SKEW, locationOf } from './state';
import type { Turn } from './turn';

export function onWatch(turn: Turn, { member, epoch }: Extract<MachineEvent, { type: 'watch' }>): void {
  const { state, moment, entry } = turn;
  const tells = epoch < state.oldest || turn.phase.state === 'suspended' || turn.phase.state === 'running';
  turn.do(tells ? { type: 'tell', member, location: locationOf(state) } : { type: 'subscribe', member });
  // Of an earlier seed.
  const unknown = epoch > state.lastEpoch && epoch <= moment.wall + CLOCK_SKEW;
  if (!unknown || turn.phase.state !== 'imagined') return;
  // Only an invocation can tell whether it is still there.
  if (entry.kind === 'function') {
    startOwn(turn, 'connections with an epoch of an earlier seed');
    return;
  }
  const { epoch: newest = 0, until = moment.at + state.settings.lostAfter } = state.doubt ?? {};
  // A host instance is back by itself, in as much time as after any loss of its connection.
  turn.set({ doubt: { epoch: Math.max(newest, epoch), until } });
}

export function onData(turn: Turn, { by, epoch }: Extract<MachineEvent, { type: 'data' }>): void {
  const { phase, state, moment } = turn;
  if (phase.state !== 'suspended' || phase.releasing || !moment.mayAllocate) return;
  if (epoch !== 0 && (epoch < state.oldest || epoch > phase.epoch)) return;
  turn.do({
    type: 'seekStart',
    cause: { by, port: null, since: moment.at, why: 'data on an open connection' },
  });
}
