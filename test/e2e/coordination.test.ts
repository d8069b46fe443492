/** Who a host is in the cluster, the stream of membership, and start barriers: real guests on the local platform. */
import { createInterface } from 'node:readline';
import { bootCluster, type TestCluster } from '../support/cluster';
import { eventually } from '../support/eventually';

const python = '/usr/bin/python3';
/** Listens on port 80 until it is ended. */
const SERVER = [python, '-m', 'http.server', '80'];
/** Says who it is, by its files and its environment, to whoever connects to port 80. */
const WHO = `
import os, socket
read = lambda name: open('/run/imaginary/' + name).read()
facts = [read('id'), read('name'), read('address'), read('nodes'), open('/app/peers').read()]
facts += ['%s=%s' % (k, os.environ[k]) for k in sorted(os.environ) if k.startswith('IMAGINARY_N')]
s = socket.create_server(('0.0.0.0', 80))
while True:
    c, _ = s.accept()
    c.sendall('\\n'.join(facts).encode())
    c.close()
`;
/** Writes what the stream of membership says, until it ends. */
const STREAM = `
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(os.environ['IMAGINARY_MEMBERSHIP'])
for line in s.makefile(): print(line, end='', flush=True)
`;

const barrier = (rule: object) => ({ startBarrier: { timeout: 20_000, ...rule } });
let cluster: TestCluster;
beforeAll(async () => {
  const hosts = [
    { name: 'who', command: [python, '-c', WHO], remappedFiles: { '/app/peers': '/run/imaginary/nodes' } },
    // Each waits for the other.
    { name: 'left', command: SERVER, ...barrier({ hosts: ['right'] }) },
    { name: 'right', command: SERVER, aliases: ['starboard'], ...barrier({ hosts: ['left'] }) },
    { name: 'third', command: SERVER, ...barrier({ count: 3, hosts: ['starboard'] }), idleTimeout: 600 },
    { name: 'alone', command: SERVER, ...barrier({ count: 8, timeout: 500 }), allocationTimeout: 10_000 },
    { name: 'absent', kind: 'instance', command: undefined, functionName: undefined },
    { name: 'vain', command: SERVER, ...barrier({ hosts: ['absent', 'left'], timeout: 2_500 }), timeout: 1_000 },
    { name: 'patient', command: SERVER, ...barrier({ count: 8 }), idleTimeout: 600 },
  ] as const;
  cluster = await bootCluster(hosts, { services: [{ name: 'all', hosts: ['left', 'right'] }] });
});
afterAll(() => cluster?.dispose());

const of = (host: string, event: string) => (e: { host: string | null; event: string }) =>
  e.host === host && e.event === event;
const get = (host: string) => cluster.exec(['curl', '-sS', '-o', '/dev/null', '-w', '%{http_code}', `http://${host}/`]);

test('a host knows its id, its name, its address and the nodes', async () => {
  const hosts = await cluster.ps();
  const { stdout } = await cluster.exec([
    python,
    '-c',
    "import socket; s = socket.create_connection(('node-0', 80))\nwhile d := s.recv(9999): print(d.decode(), end='')",
  ]);
  const nodes = hosts.map(({ name, address }, id) => `${id}\t${name}\t${address}\n`).join('');
  const { address } = hosts[0];
  const environment = `IMAGINARY_NODES=/run/imaginary/nodes\nIMAGINARY_NODE_ADDRESS=${address}\nIMAGINARY_NODE_ID=0\nIMAGINARY_NODE_NAME=who`;
  expect(stdout).toBe(['0\n', 'who\n', `${address}\n`, nodes, nodes, environment].join('\n'));
});

test('a service is a name with an address, and no host', async () => {
  const names = (await cluster.ps()).map(({ name }) => name);
  expect(names).toHaveLength(8);
  expect(names).not.toContain('all');
  const { stdout } = await cluster.exec(['grep', '-w', 'all', '/etc/hosts']);
  expect(stdout).toMatch(/^100\.64\.\d+\.\d+\tall all\.test\n$/);
  // As an id it would be the next one.
  expect((await cluster.exec(['getent', 'hosts', 'node-8'])).code).not.toBe(0);
  for (const command of ['start', 'stop']) {
    const { code, stderr } = await cluster.imaginary([command, 'all']);
    expect(code).not.toBe(0);
    expect(stderr).toContain("'all' is a service of test, and no host");
    expect(stderr).toContain('Name one of its hosts: left, right');
  }
});

test('a client has an id beyond those of the hosts', async () => {
  const { stdout } = await cluster.exec(['cat', '/run/imaginary/id', '/run/imaginary/name']);
  const [id, name] = stdout.split('\n');
  expect(Number(id)).toBeGreaterThanOrEqual((await cluster.ps()).length);
  expect(name).toMatch(/^client-\d+$/);
});

test('hosts that wait for each other: one connect starts both, and each starts its guest', async () => {
  expect((await get('left')).stdout).toBe('200');
  const events = await cluster.events();
  const right = events.find(of('right', 'allocating'));
  expect(right?.detail).toMatchObject({ by: 'left', why: "'left' waits at a start barrier" });
  const joined = events.findIndex(of('right', 'joined'));
  expect(events.findIndex(of('left', 'guest-started'))).toBeGreaterThan(joined);
  expect(events.findIndex(of('left', 'barrier-met'))).toBeGreaterThan(joined);
});

test('a barrier by count and by an alias; a host that is suspended has joined', async () => {
  expect((await get('third')).stdout).toBe('200');
  await cluster.waitFor(of('third', 'suspended'));
  // Woken, it does not wait again.
  expect((await get('third')).stdout).toBe('200');
  const waits = (await cluster.events()).filter(of('third', 'barrier-waits'));
  expect(waits.length).toBeLessThanOrEqual(1);
});

test('a barrier by count that cannot be met: the host has failed, with how many have joined', async () => {
  const { stderr } = await cluster.imaginary(['exec', '--why', '--', 'curl', '-sS', 'http://alone/']);
  expect(stderr).toMatch(/'alone': its start barrier is not met within 500 ms: \d of 8 hosts have joined/);
  const { detail } = await cluster.waitFor(of('alone', 'barrier-failed'));
  expect(detail).toMatchObject({ by: 'alone', count: 8 });
  expect((await cluster.host('alone')).reason).toContain('of 8 hosts have joined');
});

test('a barrier by names that cannot be met, across renewals: the names that are missing', async () => {
  const { stderr } = await cluster.imaginary(['exec', '--why', '--', 'curl', '-sS', 'http://vain/']);
  expect(stderr).toContain("'vain': its start barrier is not met within 2500 ms: missing: 'absent'");
  expect((await cluster.waitFor(of('vain', 'barrier-failed'))).detail).toMatchObject({ missing: 'absent' });
  expect((await cluster.events()).some(of('vain', 'renewing'))).toBe(true);
});

test('a host that waits at its barrier says so, is not idle, and can be stopped', async () => {
  const client = cluster.start(['curl', '-sS', '--max-time', '30', 'http://patient/']);
  await cluster.waitFor(of('patient', 'barrier-waits'));
  await eventually(async () => (await cluster.host('patient')).heldBy?.what === 'the start barrier: 8 hosts', 20_000);
  expect(await cluster.imaginary(['stop', 'patient'])).toMatchObject({ code: 0 });
  expect(await cluster.host('patient')).toMatchObject({ state: 'imagined' });
  const mine = (await cluster.events()).filter(({ host }) => host === 'patient');
  const names = mine.map(({ event }) => event);
  expect(names).not.toContain('guest-started');
  expect(names).not.toContain('suspended');
  client.kill();
});

test('the stream of membership says who is there, and what changes', async () => {
  const follower = cluster.start([python, '-u', '-c', STREAM]);
  const lines = createInterface({ input: follower.stdout! })[Symbol.asyncIterator]();
  const next = async () => JSON.parse((await lines.next()).value as string);
  const first = await next();
  expect(first).toMatchObject({ type: 'members', self: { name: expect.stringMatching(/^client-/), epoch: 0 } });
  const names = () => first.members.map(({ name }: { name: string }) => name);
  expect(names()).toEqual(expect.arrayContaining(['left', 'right', first.self.name]));
  for (const name of ['alone', 'all']) expect(names()).not.toContain(name);
  const third = first.members.find(({ name }: { name: string }) => name === 'third');
  const seen: string[] = [];
  const until = async (type: string, name: string) => {
    for (let line = await next(); ; line = await next()) {
      seen.push(`${line.type} ${line.name}`);
      if (line.type === type && line.name === name) return line;
    }
  };
  await cluster.imaginary(['stop', 'third']);
  expect(await until('left', 'third')).toMatchObject({ id: third.id, address: third.address, epoch: third.epoch });
  expect((await get('third')).stdout).toBe('200');
  expect((await until('joined', 'third')).epoch).toBeGreaterThan(third.epoch);
  await until('suspended', 'third');
  expect((await get('third')).stdout).toBe('200');
  await until('resumed', 'third');
  follower.kill();
});
