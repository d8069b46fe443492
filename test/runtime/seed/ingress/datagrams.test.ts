/** UDP ports of a real seed: whose answers reach a client, and what each side may cost. */
import { encodeBytes } from '../../../../src/contract/control/frame-codec';
import { decodeOutside, encodeOutside, type OutsideDatagram } from '../../../../src/contract/control/outside-datagram';
import { hostIdentity } from '../../../../src/contract/control/psk';
import { parseAddress, parseManifest } from '../../../../src/contract/manifest';
import type { Invocation } from '../../../../src/contract/platform/invocation';
import { loadNative } from '../../../../src/native/addon/load';
import { openSession, type Session } from '../../../../src/runtime/control';
import { DatagramIngress } from '../../../../src/runtime/seed/ingress/datagram-ingress';
import { EventLog } from '../../../../src/runtime/seed/operators/events';
import { Asker } from '../../../support/asker';
import { eventually } from '../../../support/eventually';
import { bootCluster, type Cluster } from '../cluster';

const LOCAL = '127.0.0.1';
const UDP = [{ port: 53, realPort: 53, scope: 'any', protocol: 'udp' }] as const;

interface Host {
  readonly session: Session;
  readonly got: OutsideDatagram[];
}

let cluster: Cluster;
let port: number;
const hosts: Record<string, Host> = {};
const askers: Asker[] = [];

/** A host whose supervisor this test is. */
async function supervise(invocation: Invocation) {
  const { host, epoch, seed, secret } = invocation;
  const got: OutsideDatagram[] = [];
  let stop: () => void = () => undefined;
  const stopped = new Promise<void>((resolve) => (stop = resolve));
  const session = await openSession({
    ...{ seed, secret, identity: hostIdentity(host, epoch) },
    join: () => ({ host, epoch, ports: UDP }),
    onLocation: () => undefined,
    onOutside: (bytes) => void got.push(decodeOutside(bytes)),
    onStop: stop,
  });
  hosts[host] = { session, got };
  await stopped;
  return { host, epoch, outcome: 'released' as const };
}

beforeEach(async () => {
  const native = loadNative();
  const [descriptor, bound] = native.listen(LOCAL, 0, true);
  port = bound;
  const manifest = parseManifest({
    version: 1,
    cluster: { name: 'test' },
    hosts: ['dns', 'other'].map((name) => ({ name, functionName: `test-${name}`, command: ['guest'] })),
    exposes: [{ host: 'dns', port, hostPort: 53, protocol: 'udp', maxConnectionsPerClient: 4_096 }],
  });
  cluster = await bootCluster([], { manifest, ingress: new Map([[`udp:${port}`, descriptor]]) });
  for (const name of ['dns', 'other']) cluster.host(name, supervise);
});
afterEach(async () => {
  for (const one of askers.splice(0)) one.close();
  for (const { session } of Object.values(hosts)) session.close();
  await cluster.close();
});

async function asker(): Promise<Asker> {
  const one = await Asker.at();
  askers.push(one);
  return one;
}

const answerTo = (one: Asker, text: string, more: Partial<OutsideDatagram> = {}) =>
  encodeOutside({
    ...{ address: parseAddress(one.local.address)!, port: one.local.port, hostPort: 53, idle: 0 },
    ...{ data: Buffer.from(text), ...more },
  });

/** Sends it until the host, which is allocated by it, has it. */
async function reaches(one: Asker, text: string): Promise<void> {
  await one.send(port, text);
  const has = () => hosts.dns?.got.some(({ data }) => String(data) === text) === true;
  await eventually(has);
}

test('an answer goes back to a client of that host and port, from whom nobody else has one', async () => {
  const one = await asker();
  await reaches(one, 'question');
  const [{ address, port: from, hostPort, idle }] = hosts.dns.got;
  expect({ address, port: from, hostPort, idle }).toEqual({
    ...{ address: parseAddress(LOCAL), port: one.local.port, hostPort: 53, idle: 60_000 },
  });
  const client = await cluster.client();
  await client.locate('other', 53, { protocol: 'udp' });
  hosts.other.session.sendOutside(answerTo(one, 'of another host'));
  hosts.dns.session.sendOutside(answerTo(one, 'from another port', { hostPort: 54 }));
  hosts.dns.session.sendOutside(answerTo(one, 'to nobody', { port: 9 }));
  // Of the other host nothing more can come once it has located something.
  await hosts.other.session.locate('dns', 53, { protocol: 'udp' });
  hosts.dns.session.sendOutside(answerTo(one, 'answer'));
  expect((await one.answer('answer')).text).toBe('answer');
  expect(one.answers).toHaveLength(1);
});

test('a frame that is none costs the host its connection, and nobody else anything', async () => {
  const one = await asker();
  await reaches(one, 'question');
  const client = await cluster.client();
  await client.locate('other', 53, { protocol: 'udp' });
  hosts.dns.session.sendOutside(encodeBytes(Buffer.alloc(11)));
  await eventually(() => cluster.logs.some((line) => /lost host 'dns' .*could not be handled/.test(line)));
  expect(hosts.other.session.connected).toBe(true);
  expect(client.connected).toBe(true);
});

test('a client has no binary frames to send', async () => {
  const client = await cluster.client();
  client.sendOutside(encodeBytes(Buffer.alloc(20)));
  await eventually(() => cluster.logs.some((line) => line.includes('only hosts send binary frames')));
});

test('a flood of clients: flows are bounded, and one that was answered stays', async () => {
  const kept = await asker();
  await reaches(kept, 'kept');
  hosts.dns.session.sendOutside(answerTo(kept, 'first answer'));
  await kept.answer('first answer');
  const flood = await Promise.all(Array.from({ length: 300 }, asker));
  for (const [i, one] of flood.entries()) await reaches(one, `flood ${i}.`);
  const { detail } = await cluster.event(
    'dns',
    'ingress-refused',
    (e) => e.detail.reason === 'more flows than are answered',
  );
  expect(detail).toMatchObject({ port, client: LOCAL });
  hosts.dns.session.sendOutside(answerTo(flood[0], 'too late'));
  hosts.dns.session.sendOutside(answerTo(kept, 'second answer'));
  hosts.dns.session.sendOutside(answerTo(flood[299], 'in time'));
  await kept.answer('second answer');
  await flood[299].answer('in time');
  expect(flood[0].answers).toEqual([]);
});

test("a client at an address of the cluster's own network is refused", async () => {
  const [descriptor, bound] = loadNative().listen(LOCAL, 0, true);
  const reasons: unknown[] = [];
  const events = new EventLog({ most: 10, bytes: 10_000 }, ({ detail }) => void reasons.push(detail.reason));
  const { exposes = [] } = parseManifest({
    ...{ version: 1, cluster: { name: 'test' }, hosts: [{ name: 'dns', command: ['x'] }] },
    exposes: [{ host: 'dns', port: bound, protocol: 'udp' }],
  });
  const ingress = new DatagramIngress({
    ...{ exposes, events, native: loadNative(), cidr: '127.0.0.0/16', log: () => undefined },
    descriptors: new Map([[`udp:${bound}`, descriptor]]),
    destination: () => {
      throw new Error('it was asked for');
    },
    members: { addInside: () => 1, ofHost: () => 'nobody' },
  });
  ingress.open();
  try {
    await (await asker()).send(bound, 'x');
    await eventually(() => reasons.length > 0);
    expect(reasons).toEqual(["an address of the cluster's own network"]);
  } finally {
    ingress.close();
  }
});
