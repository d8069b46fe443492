/**
 * Ports that a host is likely to open yet. Many servers open a port for debuggers or for their own kind at once, and
 * the one for clients seconds later: these ports are waited for after the host has settled.
 */
import type { PortMapping } from '../../../contract/control/location';
import { visiblePorts } from './state';
import type { Turn } from './turn';

/** An epoch's expected ports are waited for so long after its first listener, in milliseconds. */
export const EXPECT_LIMIT = 10_000;

/** Ports that are remembered of one host. */
const MOST = 256;

export function tcpPorts(ports: readonly PortMapping[]): number[] {
  return ports.filter(({ protocol }) => !protocol).map(({ port }) => port);
}

/**
 * A port was located. It is expected when the guest connected before the host listened anywhere: the host may be up
 * because of it. A host that was started ahead of its connects is up because of those that come later.
 */
export function expectLocated(turn: Turn, port: number, since: number) {
  const { session, state } = turn;
  if (session?.listeningSince === undefined) return turn.set({ wanted: add(state.wanted, port) });
  const { expected, listeningSince, woken } = session;
  if ((since < listeningSince || state.ahead) && !woken && expected) turn.setSession({ expected: add(expected, port) });
}

/** The first are kept: among them is the one that the host was allocated for. */
function add(ports: readonly number[], port: number): readonly number[] {
  return ports.length < MOST && !ports.includes(port) ? [...ports, port] : ports;
}

/** The session has other ports. The first of them start the time for which others are expected. */
export function noteListening(turn: Turn): void {
  const { session, state, moment } = turn;
  if (!session) return;
  const ports = tcpPorts(visiblePorts(session.ports));
  if (ports.length > 0) turn.set({ served: withNewest(state.served, ports) });
  if (session.listeningSince !== undefined || !(session.settled || ports.length > 0)) return;
  // The guest of a host that was resumed is up for long: all its ports are open.
  const wanted = session.woken ? [] : state.wanted;
  turn.set({ wanted: [] });
  turn.setSession({
    listeningSince: moment.at,
    expectUntil: moment.at + state.settings.expectLimit,
    expected: session.expected && [...new Set([...session.expected, ...wanted])],
  });
}

/** The newest are kept: they are those of the newest command. */
function withNewest(served: readonly number[], ports: readonly number[]): readonly number[] {
  const newest = new Set(ports);
  return [...served.filter((port) => !newest.has(port)), ...newest].slice(-MOST);
}
