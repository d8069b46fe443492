/** Exposed ports on network `flat`: clients that the data port leads to a host that runs, and when it no longer does. */
import { connect, type Socket } from 'node:net';
import type { ClusterEvent } from '../../src/contract/control/from-seed';
import { readPlatform } from '../../src/local';
import { bootCluster, type TestCluster } from '../support/cluster';
import { eventually } from '../support/eventually';
import { python } from '../support/guests';
import { running, signal } from '../support/processes';
import { talk } from '../support/talk';

/** Says its name and the client's address, then echoes. */
const NAMED = `
import socket, sys, threading
def serve(c, shown):
    c.sendall(("%s %s\\n" % (sys.argv[1], shown[0])).encode())
    while True:
        data = c.recv(65536)
        if not data: break
        c.sendall(data)
    c.close()
s = socket.create_server(("", 8000), backlog=512)
while True:
    c, shown = s.accept()
    threading.Thread(target=serve, args=(c, shown), daemon=True).start()
`;

const FEW = { maxConnectionsPerClient: 3, maxNewConnectionsPerMinutePerClient: 10 };

let cluster: TestCluster;
let ports: Record<string, number>;
beforeAll(async () => {
  const named = (name: string) => ({ name, command: [python, '-u', 'named.py', name] });
  cluster = await bootCluster(
    [
      ...[named('one'), named('two'), named('few'), named('listed')],
      { ...named('dozes'), idleTimeout: 300, releaseTimeout: 600_000 },
    ],
    {
      name: 'ingress-leads',
      files: { 'named.py': NAMED },
      exposes: [
        { host: 'one', port: 18_300, hostPort: 8_000 },
        { host: 'two', port: 18_301, hostPort: 8_000 },
        { host: 'few', port: 18_302, hostPort: 8_000, ...FEW },
        { host: 'listed', port: 18_303, hostPort: 8_000, allowFrom: ['127.0.0.8/29'] },
        { host: 'dozes', port: 18_304, hostPort: 8_000 },
      ],
      upArguments: ['--network', 'flat'],
    },
  );
  ports = Object.fromEntries(readPlatform(cluster.state)!.exposed!.map(({ host, port }) => [host, port]));
});
afterAll(() => cluster?.dispose());

const of = (host: string, event: string) => (e: ClusterEvent) => e.host === host && e.event === event;
const led = (host: string) => (e: ClusterEvent) => of(host, 'connected')(e) && e.detail.connections !== undefined;
const refused = (host: string, reason: string) => (e: ClusterEvent) =>
  of(host, 'ingress-refused')(e) && e.detail.reason === reason;

/** A client is served by that host, whatever way it has come. */
async function served(host: string, from = '127.0.0.1') {
  const { text, error } = await talk(ports[host], { input: 'x', from });
  expect({ text, error }).toEqual({ text: `${host} ${from}\nx`, error: undefined });
}

/** A connection that stays. False: it is reset. */
async function stays(host: string, sockets: Socket[]): Promise<boolean> {
  const socket = connect(ports[host], '127.0.0.1').on('error', () => undefined);
  sockets.push(socket);
  return new Promise((resolve) => {
    socket.once('data', () => resolve(true));
    socket.once('close', () => resolve(false));
  });
}

test('the first client asks; those after it are led, and the guest sees the address of each', async () => {
  await served('one');
  await served('two');
  await Promise.all(Array.from({ length: 30 }, (_, i) => served('two', `127.0.0.${i + 1}`)));
  const { detail } = await cluster.waitFor((e) => led('two')(e) && Number(e.detail.connections) > 1);
  expect(detail).toMatchObject({ port: 8_000, epoch: (await cluster.host('two')).epoch });
  const asked = (e: ClusterEvent) => of('two', 'connected')(e) && e.detail.connections === undefined;
  expect((await cluster.events()).filter(asked)).toHaveLength(1);
});

test('a client has its limits once, however its connections have come', async () => {
  const sockets: Socket[] = [];
  const begun = performance.now();
  // The first one asks.
  for (let i = 0; i < 3; i++) expect(await stays('few', sockets)).toBe(true);
  await cluster.waitFor(led('few'));
  expect(await stays('few', sockets)).toBe(false);
  await cluster.waitFor(refused('few', 'maxConnectionsPerClient'));
  await served('few', '127.0.0.2');
  for (const socket of sockets) socket.destroy();
  await eventually(async () => (await talk(ports.few, { input: 'x' })).error === undefined);
  let others = 0;
  for (let i = 0; i < 12; i++) if ((await talk(ports.few, { input: 'x' })).error === undefined) others += 1;
  const most = FEW.maxNewConnectionsPerMinutePerClient;
  const since = Math.floor(((performance.now() - begun) / 60_000) * most);
  expect(others).toBeGreaterThanOrEqual(most - 4);
  expect(others).toBeLessThanOrEqual(most - 4 + since);
  await cluster.waitFor(refused('few', 'maxNewConnectionsPerMinutePerClient'));
});

test('the allow-list holds while the host runs', async () => {
  await served('listed', '127.0.0.9');
  await served('listed', '127.0.0.9');
  await cluster.waitFor(led('listed'));
  expect(await talk(ports.listed, { input: 'x', ends: false })).toMatchObject({ text: '', error: 'ECONNRESET' });
  await cluster.waitFor(refused('listed', 'allowFrom'));
});

test('a host that is suspended again and again: each client is served', async () => {
  const sleeps = async () => eventually(async () => (await cluster.host('dozes')).state === 'suspended');
  for (let round = 0; round < 3; round++) {
    await Promise.all(Array.from({ length: 5 }, () => served('dozes')));
    await served('dozes');
    await sleeps();
  }
  expect((await cluster.host('dozes')).allocations).toBe(1);
  // Clients that come without a pause: it sleeps after them.
  const until = performance.now() + 1_500;
  while (performance.now() < until) await served('dozes');
  await sleeps();
});

test('data of a client that was led wakes a host that is suspended', async () => {
  const sleeps = async () => eventually(async () => (await cluster.host('dozes')).state === 'suspended');
  await served('dozes');
  const sockets: Socket[] = [];
  expect(await stays('dozes', sockets)).toBe(true);
  const [socket] = sockets;
  let text = '';
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  for (const word of ['wake\n', 'and again\n']) {
    await sleeps();
    socket.write(word);
    await eventually(() => text.endsWith(word));
  }
  expect((await cluster.host('dozes')).allocations).toBe(1);
  socket.destroy();
});

test('a host that is stopped, and one whose guest is killed: the next client allocates it anew', async () => {
  await served('one');
  const { epoch } = await cluster.host('one');
  expect(await cluster.imaginary(['stop', 'one'])).toMatchObject({ code: 0 });
  await served('one');
  const next = await cluster.host('one');
  expect(next.epoch).toBeGreaterThan(epoch!);
  await served('one');
  await served('two');
  const guests = running(`${python} -u named.py one`);
  expect(guests).toHaveLength(1);
  signal(guests, 'SIGKILL');
  await eventually(async () => (await cluster.host('one')).state !== 'running');
  await served('one');
  expect((await cluster.host('one')).epoch).toBeGreaterThan(next.epoch!);
  await served('two');
});
