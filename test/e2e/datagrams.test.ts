/** UDP between hosts, and between hosts and the world (which only network `flat` leads to). */
import { createSocket } from 'node:dgram';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { bootCluster, type TestCluster } from '../support/cluster';
import { datagramWakesSuspended, hostsAskEachOther, server, udpClient, udpHosts } from '../support/datagrams';
import { guestFiles, python } from '../support/guests';

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await bootCluster(
    [...udpHosts, { name: 'exits', command: [python, '-c', 'pass'] }, server('written', '8125')],
    { upArguments: ['--network', 'flat'], files: guestFiles('udp.py', 'udp_client.py', 'udp_client.js') },
  );
});
afterAll(() => cluster?.dispose());

const python3 = (...args: string[]) => udpClient(cluster, ...args);

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

test('two hosts have the same port; one asks the other, and an imagined one', () => hostsAskEachOther(cluster));

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

test('a bound port holds no host, and a datagram wakes one that is suspended', () => datagramWakesSuspended(cluster));

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
