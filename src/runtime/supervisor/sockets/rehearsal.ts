/**
 * A connect, gone through once with hosts that nobody has: in a client while its command starts, in a host while the
 * first guest waits for another host. V8 compiles a function when it is called first, and of a process' first connect that takes the greater part. Here
 * nothing is waited for in that time. Nothing of it leaves the process, and nothing is kept.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { encodeFrame } from '../../../contract/control/frame-codec';
import { checkFromSeed } from '../../../contract/control/from-seed';
import type { Location } from '../../../contract/control/location';
import type { NatReport } from '../../../contract/peer/peer-messages';
import { Locates } from '../../control/locates';
import { createDirect } from '../../transport/direct/direct';
import { portSequence } from '../../transport/punched/ports';
import { Puncher } from '../../transport/punched/punch';
import { PunchPorts } from '../../transport/punched/punch-ports';
import { Punched } from '../../transport/punched/punched';
import { connectBy, type TransportResult } from '../../transport/transport';
import { openLocations } from './locations';
import { Locator } from './locator';

const SELF = { name: 'a', address: '192.0.2.1', nodeId: 0 };
const OTHER = { name: 'b', address: '192.0.2.2', nodeId: 1, aliases: [] };
const PORT = 7_000;

/** A NAT at one of the addresses for documentation (RFC 5737). */
const behind = (reflexiveAddress: string): NatReport => ({
  kind: 'port-preserving',
  reflexiveAddress,
  localAddress: '169.254.0.1',
  ports: [10_240, 1_000],
});
const LOCATION: Location = {
  host: OTHER.name,
  epoch: 1,
  state: 'running',
  ports: [{ port: PORT, realPort: PORT, scope: 'any' }],
  nat: { ...behind('203.0.113.2'), kind: 'unknown' },
};

export const LOCATED = { type: 'located', id: 1, location: LOCATION, realPort: PORT };

/** A request, and its answer. */
async function locate(): Promise<void> {
  const locates = new Locates((frame) => void encodeFrame(frame));
  const locator = new Locator();
  locator.use({ locate: (host, port, options) => locates.add(host, port, options) });
  const located = locator.locate(OTHER.name, PORT, { signal: new AbortController().signal });
  locates.settle(1, { location: LOCATION, realPort: PORT });
  await located;
}

/**
 * In several turns: what comes meanwhile waits for one of them at most.
 * @returns how it ended; undefined: it did not get so far
 */
export async function rehearse(flat: number | undefined): Promise<TransportResult | undefined> {
  checkFromSeed(LOCATED);
  await locate();
  await turn();
  const directory = [{ ...SELF, aliases: [] }, OTHER];
  const locations = openLocations(
    { cluster: 'c', cidr: '192.0.2.0/24', self: SELF, directory, aliases: flat ?? 0, handoff: flat === undefined },
    { map: (size) => new ArrayBuffer(size) },
  );
  await turn();
  locations.apply(LOCATION);
  const destination = locations.find(OTHER.name, PORT);
  await turn();
  if (!destination) return undefined;
  const { signal } = new AbortController();
  const puncher = new Puncher({
    punchPorts: new PunchPorts(() => {
      throw new Error('no port of a rehearsal is probed');
    }),
    natReport: async () => behind('203.0.113.1'),
    send: (to, message) => void encodeFrame({ type: 'peerMessage', ...{ to: to.host, message } }),
  });
  const punched = new Punched({
    connector: { open: async () => 0, fill: async () => 0 },
    puncher,
    guestPort: portSequence([1, 1]),
    signal,
  });
  const guest = { ...destination, address: 1, sourcePort: 0, replyTo: -1, signal };
  return connectBy([createDirect(flat), punched], guest);
}
