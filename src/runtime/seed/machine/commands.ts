/** What operators want of a host: each order is answered once it is carried out, or cannot be. */
import { endLimit } from '../../../contract/manifest/end';
import type { MachineEvent } from './events';
import { startOwn } from './own-start';
import { endRunning, releaseGuests, retry, run } from './phases';
import { isEnding, type Order } from './state';
import type { Turn } from './turn';
import { refuseAll } from './waiters';

/** What an operator's order may take beyond the host's own times. */
const MARGIN = 2_000;

export function onCommand(turn: Turn, { id, command }: Extract<MachineEvent, { type: 'command' }>) {
  const { phase, entry } = turn;
  const refuse = (reason: string) => turn.do({ type: 'commandReply', id, ok: false, reason });
  if (entry.kind === 'instance') return refuse(`'${entry.name}' is a host instance: it starts and ends where it runs`);
  if (command === 'wake' && (phase.state === 'imagined' || phase.state === 'failed')) {
    return refuse(`'${entry.name}' is ${phase.state}, not suspended: start it`);
  }
  if (command === 'release' && (phase.state === 'running' || phase.state === 'allocating')) {
    return refuse(`'${entry.name}' is ${phase.state}, not suspended: stop it`);
  }
  const until = command === 'start' || command === 'wake' ? 'running' : 'imagined';
  turn.emit('ordered', { command });
  const due = turn.moment.at + entry.allocationTimeout + endLimit(entry) + MARGIN;
  turn.set({ orders: [...turn.state.orders, { id, until, due }] });
  if (until === 'running') {
    // An operator need not wait for the end of a back-off.
    retry(turn);
    return startOwn(turn, `ordered: ${command}`);
  }
  turn.set({ own: undefined });
  refuseAll(turn, 'ECONNREFUSED', `'${entry.name}' is stopped by an operator`);
  stop(turn);
}

const STOPPED = 'stopped by an operator';

function stop(turn: Turn) {
  switch (turn.phase.state) {
    case 'suspended':
      return releaseGuests(turn);
    case 'allocating':
      // Its guest runs, and may have something to end.
      run(turn, { listening: false });
      return endRunning(turn, STOPPED);
    case 'running':
      return endRunning(turn, STOPPED);
    case 'imagined':
    case 'failed':
      return;
    default:
      return turn.phase satisfies never;
  }
}

/** The time of the oldest order is over, whatever the clock says: timers may be a little early. */
export function endOrder(turn: Turn): void {
  const [oldest, ...others] = turn.state.orders;
  if (oldest) turn.set({ orders: [{ ...oldest, due: turn.moment.at }, ...others] });
}

/** Answers the orders that are carried out, or that have come to nothing. */
export function settleOrders(turn: Turn): void {
  const { phase, orders } = turn.state;
  if (orders.length === 0) return;
  const resultOf = ({ until, due }: Order) => {
    if (
      until === 'running'
        ? phase.state === 'running' && !isEnding(turn.state)
        : phase.state === 'imagined' || phase.state === 'failed'
    )
      return { ok: true };
    if (phase.state === 'failed' && phase.errno) return { ok: false, reason: phase.reason };
    if (turn.moment.at >= due) return { ok: false, reason: `it is still ${phase.state}` };
    return undefined;
  };
  const results = orders.map((order) => ({ order, result: resultOf(order) }));
  for (const { order, result } of results) if (result) turn.do({ type: 'commandReply', id: order.id, ...result });
  const open = results.filter(({ result }) => !result).map(({ order }) => order);
  if (open.length < orders.length) turn.set({ orders: open });
}
