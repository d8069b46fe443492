/** A cluster on network `nat`: what goes through the seed works there as on `flat`, and nothing is left of it. */
import { readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { readPlatform } from '../../src/local';
import { bootCluster, type TestCluster } from '../support/cluster';
import { networkOf, type TestNetwork } from '../support/network';
import { holdersOf, mentioning } from '../support/processes';

const python = '/usr/bin/python3';

let cluster: TestCluster;
let network: TestNetwork;
beforeAll(async () => {
  cluster = await bootCluster(
    [
      {
        name: 'web',
        command: [python, '-u', '-m', 'http.server', '8000'],
        idleTimeout: 1_000,
        releaseTimeout: 600_000,
      },
      { name: 'api', command: [python, '-u', '-m', 'http.server', '8000'] },
      { name: 'cache', command: [python, '-u', '-m', 'http.server', '8000'] },
    ],
    {
      name: 'nat',
      upArguments: ['--network', 'nat', '--nat', 'api=shared+symmetric', '--nat', 'cache=shared+symmetric'],
    },
  );
  network = networkOf(cluster.state);
});
afterAll(() => cluster?.dispose());

const is = (host: string, event: string) => (e: { host: string | null; event: string }) =>
  e.host === host && e.event === event;

/** Makes a host come up by a connect, whatever becomes of that, and waits until it runs. */
async function allocate(host: string): Promise<void> {
  const knocking = cluster.start([python, '-c', `import socket; socket.create_connection(("${host}", 8000), 60)`]);
  const ended = new Promise((done) => knocking.once('close', done));
  await cluster.waitFor(is(host, 'running'));
  knocking.kill();
  await ended;
}
const joinedFrom = async (host: string) =>
  (await cluster.events()).filter(is(host, 'joined')).map(({ detail }) => detail.address);

test('up says which network it is, for people and for programs', async () => {
  const { info } = network;
  expect(info).toMatchObject({ range: '198.18.0.0/15', nats: { web: 'port-preserving', api: 'symmetric+shared' } });
  expect(readPlatform(cluster.state)?.seed).toBe('198.18.0.2:9410');
  const second = ['--network', 'nat', '--nat', 'symmetric', '--rtt', '0', '--state', join(cluster.folder, 'second')];
  const manifest = join(cluster.folder, 'manifest.json');
  try {
    const text = await cluster.imaginary(['up', ...second, manifest], { timeout: 120_000 });
    expect(text.stdout).toMatch(
      /^network +nat: every host is behind a NAT \(symmetric\), public addresses are of 198/m,
    );
  } finally {
    await cluster.imaginary(['down', '--state', join(cluster.folder, 'second')]);
  }
});

test.each([
  [['--nat', 'absent=symmetric'], "there is no host 'absent'; allowed: web, api, cache, client"],
  [['--nat', 'odd'], "'odd' is no kind of NAT; allowed: none, one-to-one, port-preserving, endpoint-independent"],
  [['--network', 'flat', '--nat', 'symmetric'], '--nat is for network nat, not for flat'],
  [['--rtt', 'x'], 'It must be 0 to 10000.'],
])('up %p is refused', async (given, message) => {
  const state = ['--state', join(cluster.folder, 'refused')];
  const run = await cluster.imaginary(['up', ...state, ...given, join(cluster.folder, 'manifest.json')]);
  expect(run.code).not.toBe(0);
  expect(run.stderr).toContain(message);
});

test('a client is in a network of its own: the names of the cluster, its own interface, its exit code and streams', async () => {
  const script = 'import sys; print(sys.stdin.read()); print(open("/proc/net/dev").read()); sys.exit(7)';
  const run = await cluster.exec([python, '-c', script], { input: 'hello' });
  expect(run).toMatchObject({ code: 7, stderr: '' });
  expect(run.stdout).toMatch(/^hello\n/);
  expect(run.stdout).toMatch(/eth0:/);
  expect((await cluster.exec(['getent', 'hosts', 'web'])).stdout).toMatch(/^100\.64\.\d+\.\d+ +web/);
  expect((await cluster.exec(['/bin/sh', '-c', 'kill -TERM $$'])).code).toBe(143);
  expect((await cluster.exec(['no-such-command'])).code).toBe(127);
});

test('a host is allocated behind its NAT, which is where the seed sees it; idle, it is suspended', async () => {
  await allocate('web');
  const { publicAddress } = await network.faults.where('web');
  expect(await joinedFrom('web')).toEqual([publicAddress]);
  expect(await cluster.logs('web')).toContain('a guest listens on port 8000');
  await cluster.waitFor(is('web', 'suspended'));
  expect(await cluster.host('web')).toMatchObject({ state: 'suspended', allocations: 1 });
});

test('hosts behind one address both join', async () => {
  await Promise.all([allocate('api'), allocate('cache')]);
  const { publicAddress } = await network.faults.where('api');
  expect(await joinedFrom('api')).toEqual([publicAddress]);
  expect(await joinedFrom('cache')).toEqual([publicAddress]);
  expect(await cluster.host('api')).toMatchObject({ state: 'running', ports: [8000] });
});

test('a sandbox sees what Lambda shows: its own interface, and the Runtime API where Lambda has it', async () => {
  const { net, privateAddress } = await network.faults.where('api');
  const seen = await network.run('api', [
    '/bin/sh',
    '-c',
    'cat /proc/net/dev /proc/net/fib_trie; readlink /proc/self/ns/net',
  ]);
  expect(seen.stdout).toContain(`|-- ${privateAddress}`);
  expect(seen.stdout).not.toContain('|-- 198.18');
  expect(seen.stdout).toContain(readlinkSync(net));
  const asked = await network.run('api', ['curl', '-sS', 'http://127.0.0.1:9001/2018-06-01/nothing']);
  expect(JSON.parse(asked.stdout)).toMatchObject({ errorType: 'NotFound' });
});

test('hosts rejoin a seed that was restarted', async () => {
  const before = Date.now();
  const [seed] = mentioning(`seed.js --manifest ${readPlatform(cluster.state)?.manifestFile}`).filter(
    (pid) => !mentioning('sandbox --control').includes(pid),
  );
  process.kill(seed, 'SIGKILL');
  await cluster.waitFor((e) => e.host === 'api' && e.event === 'joined' && e.time > before);
  expect(await cluster.host('api')).toMatchObject({ state: 'running', allocations: expect.any(Number) });
});

test('the platform is killed: the next down finds nothing running, and leaves nothing', async () => {
  const info = readPlatform(cluster.state)!;
  const namespaces = await Promise.all(
    ['web', 'api', 'cache'].map(async (host) => readlinkSync((await network.faults.where(host)).net)),
  );
  process.kill(info.pid, 'SIGKILL');
  const down = await cluster.down();
  expect(down).toMatchObject({ code: 0, stdout: expect.stringContaining('had ended already') });
  expect(namespaces.flatMap(holdersOf)).toEqual([]);
  expect(mentioning(cluster.state)).toEqual([]);
});
