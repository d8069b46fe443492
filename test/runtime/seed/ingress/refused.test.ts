/** Clients from outside, at a real seed: a supervisor that refuses one is not waited for. */
import { connect, type Socket } from 'node:net';
import { hostIdentity } from '../../../../src/contract/control/psk';
import { parseManifest } from '../../../../src/contract/manifest';
import type { Invocation } from '../../../../src/contract/platform/invocation';
import { loadNative } from '../../../../src/native/addon/load';
import { openSession, type Session } from '../../../../src/runtime/control';
import { talk } from '../../../support/talk';
import { bootCluster, type Cluster } from '../cluster';

const LOCAL = '127.0.0.1';
const PORTS = [{ port: 8_000, realPort: 8_000, scope: 'any' }] as const;

let cluster: Cluster;
let ports: Record<string, number>;
/** Requests that came to each host. */
let asked: string[];
const sockets = new Set<Socket>();

/** A host whose supervisor this test is. It refuses, unless it is `serves`. */
async function supervise(invocation: Invocation) {
  const { host, epoch, seed, secret } = invocation;
  let stop: () => void = () => undefined;
  const stopped = new Promise<void>((resolve) => (stop = resolve));
  // A request may come with the welcome.
  const opened: Promise<Session> = openSession({
    ...{ seed, secret, identity: hostIdentity(host, epoch) },
    join: () => ({ host, epoch, ports: PORTS }),
    onLocation: () => undefined,
    onRelayed: (_from, token) => {
      asked.push(host);
      if (host === 'serves') serve(token);
      else void opened.then((session) => session.refuseRelayed(token, 'no room'));
    },
    onStop: stop,
  });
  await opened;
  await stopped;
  return { host, epoch, outcome: 'released' as const };
}

/** Echoes what comes after the byte that says that the other side is there. */
function serve(token: string): void {
  const socket = connect({ port: cluster.seed.dataPort, host: LOCAL });
  sockets.add(socket);
  socket.write(Buffer.concat([Buffer.from('IMR1'), Buffer.from(token, 'base64')]));
  let greeted = false;
  socket.on('data', (data) => {
    socket.write(greeted ? data : data.subarray(1));
    greeted = true;
  });
  socket.on('end', () => socket.end());
  socket.on('error', () => undefined);
}

beforeEach(async () => {
  asked = [];
  const names = ['full', 'serves'];
  const bound = [...names, 'both'].map((host) => [host, ...loadNative().listen(LOCAL, 0, false)] as const);
  ports = Object.fromEntries(bound.map(([host, , port]) => [host, port]));
  const manifest = parseManifest({
    version: 1,
    cluster: { name: 'test' },
    hosts: names.map((name) => ({ name, functionName: `test-${name}`, command: ['guest'] })),
    services: [{ name: 'both', hosts: names }],
    exposes: bound.map(([host, , port]) => ({ host, port, hostPort: 8_000 })),
  });
  const ingress = new Map(bound.map(([, descriptor, port]) => [`tcp:${port}`, descriptor]));
  cluster = await bootCluster([], { manifest, ingress });
  for (const name of names) cluster.host(name, supervise);
});
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  await cluster.close();
});

test('the client of one host is reset at once, with the reason in an event', async () => {
  const begin = performance.now();
  expect(await talk(ports.full, { input: 'x', ends: false })).toMatchObject({ text: '', error: 'ECONNRESET' });
  // Tokens expire after 10 s.
  expect(performance.now() - begin).toBeLessThan(5_000);
  expect((await cluster.event('full', 'ingress-refused')).detail).toMatchObject({
    reason: "'full' refuses: no room",
    client: LOCAL,
  });
  expect(asked).toEqual(['full']);
});

test('the client of a service is led to the next host at once', async () => {
  const begin = performance.now();
  expect(await talk(ports.both, { input: 'hello' })).toMatchObject({ text: 'hello', error: undefined });
  expect(performance.now() - begin).toBeLessThan(5_000);
  expect(asked).toEqual(['full', 'serves']);
});
