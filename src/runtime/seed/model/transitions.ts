/** Every change of a host's state that a model has, and by which events. */
import type { MachineEvent } from '../machine/events';
import type { HostState } from '../machine/state';
import { explore } from './explore';
import { observed } from './seed';
import type { Size } from './world';

type State = HostState['phase']['state'];

export interface Transition {
  readonly from: State;
  readonly to: State;
  /** In words, sorted. */
  readonly by: readonly string[];
}

const STATES: readonly State[] = ['imagined', 'allocating', 'running', 'suspended', 'failed'];

export function transitionsOf(sizes: readonly Size[], most: number): Transition[] {
  const found = new Map<string, Set<string>>();
  const show = ({ phase: before }: HostState, event: MachineEvent, { phase: after }: HostState) => {
    if (before.state === after.state) return;
    const key = `${before.state} ${after.state}`;
    found.set(key, (found.get(key) ?? new Set()).add(inWords(event)));
  };
  observed(show, () => {
    for (const size of sizes) explore(size, most);
  });
  return STATES.flatMap((from) =>
    STATES.flatMap((to) => {
      const by = found.get(`${from} ${to}`);
      return by ? [{ from, to, by: [...by].sort() }] : [];
    }),
  );
}

/** What has happened, as the columns of `docs/lifecycle.md` have it. */
function inWords(event: MachineEvent): string {
  switch (event.type) {
    case 'startGranted':
      return 'a start: for a connect, or by itself';
    case 'join':
      return 'a supervisor joins';
    case 'ports':
      return 'its guest listens, or is settled';
    case 'suspend':
      return 'its supervisor asks to be suspended';
    case 'leave':
      return `its supervisor leaves: ${event.frame.outcome}`;
    case 'ended': {
      const { outcome } = event;
      return outcome.kind === 'result'
        ? `its invocation has returned: ${outcome.result.outcome}`
        : `its invocation has failed: ${outcome.kind}`;
    }
    case 'command':
      return `an operator's order: ${event.command}`;
    case 'timer':
      return `time: ${event.name}`;
    default:
      return event.type;
  }
}
