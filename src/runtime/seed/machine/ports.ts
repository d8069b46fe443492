/** What the supervisor of the current epoch reports of its host: ports, NAT, events. */
import { isDeepStrictEqual } from 'node:util';
import type { PortMapping } from '../../../contract/control/location';
import type { NatReport } from '../../../contract/peer/peer-messages';
import type { Detail } from '../operators/events';
import type { SessionEvent } from './events';
import { noteListening } from './expected';
import { run } from './phases';
import { portName, visiblePorts } from './state';
import type { Turn } from './turn';
import { serve } from './waiters';

/** Ports that began or ended to be listened on in one go, each of which is an event. Of more, their number is one. */
const MOST_LISTED = 16;

export function setPorts(turn: Turn, ports: readonly PortMapping[], settled: boolean): void {
  const before = visiblePorts(turn.session?.ports ?? []);
  const after = visiblePorts(ports);
  turn.setSession({ ports, settled });
  noteListening(turn);
  const had = new Set(before.map(keyOf));
  const has = new Set(after.map(keyOf));
  const named = new Set(after.map(portName));
  const added = after.filter((p) => !had.has(keyOf(p)));
  const removed = before.filter((p) => !has.has(keyOf(p)));
  list(turn, 'listening', added, ({ realPort }) => ({ realPort }));
  list(
    turn,
    'listening-ended',
    removed.filter((p) => !named.has(portName(p))),
  );
  if (turn.phase.state === 'allocating') {
    if (after.length > 0 || settled) run(turn);
    return;
  }
  if (added.length + removed.length > 0) turn.publish();
  serve(turn);
}

export function onNatReport(turn: Turn, nat: NatReport): void {
  if (isDeepStrictEqual(turn.session?.nat, nat)) return;
  turn.setSession({ nat });
  const { kind, reflexiveAddress: address, localAddress: local } = nat;
  turn.emitSaid('reachable', { epoch: turn.epoch, nat: kind, address, local });
  if (turn.phase.state === 'running') turn.publish();
}

export function onReport(turn: Turn, { event, detail }: Extract<SessionEvent, { type: 'report' }>) {
  if (event === 'not-ready') turn.setSession({ notReady: String(detail.reason ?? '') });
  if (event === 'ready') turn.setSession({ notReady: undefined });
  // What the seed itself says of the event is not the member's to say.
  turn.emitSaid(event, { ...detail, epoch: turn.epoch });
}

/** Reported again, also to the next connection: it holds since it was reported first. */
export function onHeld(turn: Turn, { by, what }: Extract<SessionEvent, { type: 'held' }>): void {
  const held = turn.session?.heldBy;
  const same = held?.by === by && held.what === what;
  turn.setSession({ heldBy: { by, what, since: same ? held.since : turn.moment.at } });
}

function list(
  turn: Turn,
  event: string,
  ports: readonly PortMapping[],
  more: (port: PortMapping) => Detail = () => ({}),
) {
  const { epoch } = turn;
  if (ports.length > MOST_LISTED) return turn.emitSaid(event, { epoch, ports: ports.length });
  for (const mapping of ports) {
    const { port, protocol } = mapping;
    turn.emitSaid(event, { epoch, port, ...more(mapping), ...(protocol && { protocol }) });
  }
}

function keyOf(mapping: PortMapping): string {
  return `${portName(mapping)} ${mapping.realPort} ${mapping.scope}`;
}
