/**
 * Ports that a host is likely to open yet. Many servers open a port for debuggers or for their own kind at once, and the one for
 * clients seconds later: these ports are waited for after the host has settled.
 */
import type { PortMapping } from '../../../contract/control/location';
import { type EpochSession, type Host, sessionOf, visiblePorts } from './host';

/** An epoch's expected ports are waited for so long after its first listener, in milliseconds. */
export const EXPECT_LIMIT = 10_000;

/** Ports that are remembered of one host. */
const MOST = 256;

export function tcpPorts(ports: readonly PortMapping[]): number[] {
  return ports.filter(({ protocol }) => !protocol).map(({ port }) => port);
}

/** An ask for a port. It is expected when the guest connected before the host listened anywhere: the host may be up because of it. */
export function expectLocated(host: Host, port: number, since: number): void {
  const session = sessionOf(host);
  const listening = session?.listeningSince;
  if (listening === undefined) add(host.wanted, port);
  else if (since < listening && !session?.woken && session?.expected) add(session.expected, port);
}

/** The first are kept: among them is the one that the host was allocated for. */
function add(ports: Set<number>, port: number): void {
  if (ports.size < MOST) ports.add(port);
}

/** An epoch has told its ports. `onLimit` is called when it is not expected to open others any more. */
export function noteListening(host: Host, session: EpochSession, limit: number, onLimit: () => void): void {
  const ports = tcpPorts(visiblePorts(session.ports));
  for (const port of ports) {
    host.served.delete(port);
    host.served.add(port);
  }
  // The newest are kept: they are those of the newest command.
  for (const port of host.served) if (host.served.size > MOST) host.served.delete(port);
  if (session.listeningSince !== undefined || !(session.settled || ports.length > 0)) return;
  session.listeningSince = performance.now();
  // The guest of a host that was resumed is up for long: all its ports are open.
  if (!session.woken) for (const port of host.wanted) session.expected?.add(port);
  host.wanted.clear();
  session.expecting = setTimeout(() => {
    session.expected = undefined;
    onLimit();
  }, limit);
}
