/** UDP between hosts, and between hosts and the world (which only network `flat` leads to). */
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { bootCluster, type TestCluster } from '../support/cluster';

const guest = (name: string) => readFileSync(join(__dirname, 'guests', name), 'utf8');
const python = '/usr/bin/python3';
const server = (name: string, ...args: string[]) => ({ name, command: [python, 'udp.py', ...args] });

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await bootCluster(
    [
      server('stats', '8125', '0.5'),
      server('other', '8125'),
      server('low', '53'),
      { ...server('quiet', '8125'), idleTimeout: 400 },
      { name: 'exits', command: [python, '-c', 'pass'] },
      server('written', '8125'),
    ],
    {
      upArguments: ['--network', 'flat'],
      files: Object.fromEntries(['udp.py', 'udp_client.py', 'udp_client.js'].map((name) => [name, guest(name)])),
    },
  );
});
afterAll(() => cluster?.dispose());

async function python3(...args: string[]) {
  const run = await cluster.exec([python, join(cluster.folder, 'udp_client.py'), ...args]);
  expect(run).toMatchObject({ stderr: '', code: 0 });
  return JSON.parse(run.stdout);
}

test('the first datagram to an imagined host allocates it, blocks nobody and is not lost', async () => {
  const result = await python3('sendto', 'stats', '8125');
  const { address } = await cluster.host('stats');
  expect(result.source).toEqual([address, 8125]);
  expect(result.sendMs).toBeLessThan(400);
  expect(result.answer).toMatchObject({ data: 'hello', local: ['0.0.0.0', 8125], host: 'stats' });
  expect(result.answer.peer[0]).toMatch(/^100\.64\./);
  expect(result.answer.peer[1]).toBe(result.local[1]);
});

test('a connected socket sees its peer, and the first datagram is not lost either', async () => {
  const result = await python3('connected', 'other', '8125');
  const { address } = await cluster.host('other');
  expect(result.connected[1]).toEqual([address, 8125]);
  expect(result.connected[0]).toEqual(result.answer.peer);
  expect(result.source).toEqual([address, 8125]);
});

test('two hosts have the same port; one asks the other, and an imagined one', async () => {
  const { answer } = await python3('sendto', 'other', '8125', 'ask', 'stats', '8125', 'question');
  const { address: other } = await cluster.host('other');
  const { address: stats } = await cluster.host('stats');
  expect(answer.source).toEqual([stats, 8125]);
  expect(answer.answer).toMatchObject({ data: 'question', peer: [other, 8125], host: 'stats' });
  const low = await python3('sendto', 'other', '8125', 'ask', 'low', '53', 'name');
  expect(low.answer.answer).toMatchObject({ data: 'name', peer: [other, 8125], local: ['0.0.0.0', 53], host: 'low' });
  expect(low.answer.source[1]).toBe(53);
});

test('node: dgram, connected and not', async () => {
  const run = await cluster.exec([process.execPath, join(cluster.folder, 'udp_client.js'), 'stats', '8125']);
  expect(run).toMatchObject({ stderr: '', code: 0 });
  const { address } = await cluster.host('stats');
  const [connected, plain] = JSON.parse(run.stdout);
  expect(connected).toMatchObject({ source: [address, 8125], peer: { address, port: 8125 } });
  expect(plain).toMatchObject({ source: [address, 8125], answer: { data: 'requests:1|c' } });
});

test('one unbound socket speaks to the cluster and to the world', async () => {
  const interfaces = Object.values(networkInterfaces()).flat();
  const address = interfaces.find((i) => i?.family === 'IPv4' && !i.internal)?.address ?? '127.255.1.1';
  const world = createSocket('udp4');
  world.on('message', (message, { port, address: from }) => world.send(message, port, from));
  await new Promise<void>((done) => world.bind(0, address, done));
  try {
    const result = await python3('both', address, String(world.address().port), 'stats', '8125');
    expect(result.outside).toEqual(['outside', [address, world.address().port]]);
    expect(result.again).toMatchObject({ data: 'again', peer: result.answer.peer });
  } finally {
    world.close();
  }
});

test('a port that nobody has, on a host that runs and on one that does not come up', async () => {
  expect(await python3('refused', 'stats', '9')).toEqual({ error: 'Connection refused' });
  expect(await python3('refused', 'exits', '8125')).toEqual({ error: 'Connection refused' });
});

test('a bound port holds no host, and a datagram wakes one that is suspended', async () => {
  const first = await python3('sendto', 'quiet', '8125');
  await cluster.waitFor((event) => event.host === 'quiet' && event.event === 'suspended');
  const second = await python3('connected', 'quiet', '8125', 'awake?');
  expect(second.answer).toMatchObject({ data: 'awake?', host: 'quiet' });
  expect(first.source).toEqual(second.source);
  const { allocations } = await cluster.host('quiet');
  expect(allocations).toBe(1);
});

test('write() is not seen: it reaches a host that is up, and wakes none', async () => {
  const script = 'exec 3<>/dev/udp/written/8125; echo one >&3; echo two >&3';
  const lost = await cluster.exec(['/bin/bash', '-c', script]);
  expect(lost).toMatchObject({ code: 1, stderr: expect.stringContaining('Connection refused') });
  expect(await cluster.host('written')).toMatchObject({ state: 'imagined', allocations: 0 });
  await python3('sendto', 'written', '8125');
  const arrived = await cluster.exec([
    '/bin/bash',
    '-c',
    'exec 3<>/dev/udp/written/8125; echo one >&3; head -c 12 <&3',
  ]);
  expect(arrived).toMatchObject({ code: 0, stdout: expect.stringContaining('"data"') });
});
