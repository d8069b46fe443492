/** Locates of UDP ports: answered when the host is up, whoever has the port. */
import { bootCluster, type Cluster, failure, mapping } from './cluster';

let cluster: Cluster;
afterEach(() => cluster.close());

const udp = (port: number, realPort = port) => ({ port, realPort, scope: 'any', protocol: 'udp' }) as const;

test('a datagram allocates; its port is another one than that of a listener', async () => {
  cluster = await bootCluster([{ name: 'dns' }]);
  cluster.host('dns', async (invocation) => {
    const host = await cluster.supervise(invocation);
    host.session.ports([mapping(53)], false);
    await cluster.event('dns', 'running');
    host.session.ports([mapping(53), udp(53, 64_565)], false);
    await host.stopped;
    return { host: invocation.host, epoch: invocation.epoch, outcome: 'released' };
  });
  const client = await cluster.client();
  const answer = await client.locate('dns', 53, { protocol: 'udp' });
  expect(answer.realPort).toBe(64_565);
  expect(answer.location.ports).toContainEqual(udp(53, 64_565));
  expect((await client.locate('dns', 53)).realPort).toBe(40_053);
  const { detail } = await cluster.event('dns', 'listening', (e) => e.detail.protocol === 'udp');
  expect(detail).toMatchObject({ port: 53, realPort: 64_565 });
});

test('a port that nobody has told about: where it would be, once the UDP ports are settled', async () => {
  cluster = await bootCluster([{ name: 'stats' }]);
  let settle: () => void = () => undefined;
  cluster.host('stats', async (invocation) => {
    const host = await cluster.supervise(invocation);
    host.session.ports([udp(8_125)], false, false);
    settle = () => host.session.ports([udp(8_125)], false, true);
    await host.stopped;
    return { host: invocation.host, epoch: invocation.epoch, outcome: 'released' };
  });
  const client = await cluster.client();
  let early = false;
  const asked = Promise.all([
    client.locate('stats', 40_000, { protocol: 'udp' }),
    client.locate('stats', 7, { protocol: 'udp' }),
  ]);
  void asked.then(() => {
    early = true;
  });
  await client.locate('stats', 8_125, { protocol: 'udp' });
  expect(early).toBe(false);
  settle();
  expect((await asked).map((answer) => answer.realPort)).toEqual([40_000, 64_519]);
});

test('UDP ports alone refuse no connection: it may be listened for later', async () => {
  cluster = await bootCluster([{ name: 'late', allocationTimeout: 300 }]);
  cluster.host('late', async (invocation) => {
    const host = await cluster.supervise(invocation);
    host.session.ports([udp(8_125)], false, true);
    await host.stopped;
    return { host: invocation.host, epoch: invocation.epoch, outcome: 'released' };
  });
  const client = await cluster.client();
  await client.locate('late', 8_125, { protocol: 'udp' });
  expect((await failure(client.locate('late', 80))).errno).toBe('ETIMEDOUT');
});
