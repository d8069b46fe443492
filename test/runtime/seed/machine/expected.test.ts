/**
 * Servers that open the port for clients long after another one: which ports a settled host is waited for, and for how
 * long.
 */
import type { Invocation } from '../../../../src/contract/platform/invocation';
import { bootCluster, type Cluster, failure, mapping, type Supervisor } from '../cluster';

/** Of the tests that wait for its end. */
const LIMIT = 400;
const refused = { errno: 'ECONNREFUSED', reason: expect.stringContaining('(settleTime)') };

let cluster: Cluster;
afterEach(() => cluster.close());

/** A host whose epochs wait for the test to open their ports. */
function staged(name = 'api') {
  const joined: Supervisor[] = [];
  const watchers = new Set<() => void>();
  cluster.host(name, async (invocation: Invocation) => {
    const host = await cluster.supervise(invocation);
    host.session.report('guest-started', { pid: 1 });
    joined.push(host);
    for (const watcher of watchers) watcher();
    const end = await Promise.race([host.stopped, ended(invocation.epoch)]);
    return typeof end === 'boolean' ? { host: name, epoch: invocation.epoch, outcome: 'released' } : end;
  });
  const ends = new Map<number, (end: never) => void>();
  const ended = (epoch: number) => new Promise<never>((resolve) => ends.set(epoch, resolve as never));
  return {
    session: (n: number) =>
      new Promise<Supervisor>((resolve) => {
        const look = () => joined[n] && resolve(joined[n]);
        watchers.add(look);
        look();
      }),
    exit: async (host: Supervisor) => ends.get(host.invocation.epoch)!((await host.exit(0)) as never),
    suspend: async (host: Supervisor) => ends.get(host.invocation.epoch)!((await host.suspend()) as never),
  };
}
const open = (host: Supervisor, ports: readonly number[], settled: boolean) =>
  host.session.ports(
    ports.map((port) => mapping(port)),
    settled,
  );

test('the port that a host was allocated for is waited for after it has settled; others are refused at once', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  const { session } = staged();
  const client = await cluster.client();
  const cause = client.locate('api', 7000);
  const host = await session(0);
  open(host, [9000], true);
  await cluster.event('api', 'running');
  expect(await failure(client.locate('api', 7001))).toEqual({
    ...refused,
    reason: "'api' listens on 9000, not on 7001, and has opened no further port for 1000 ms (settleTime)",
  });
  // Another member that locates the same port waits as long.
  const again = client.locate('api', 7000);
  open(host, [9000, 7000], true);
  expect([(await cause).realPort, (await again).realPort]).toEqual([7000, 7000]);
});

test('every port that was asked for before the host listened is waited for, also by a client that comes back', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  const { session } = staged();
  const client = await cluster.client();
  const first = client.locate('api', 9000);
  const giveUp = new AbortController();
  const second = failure(client.locate('api', 7000, { signal: giveUp.signal }));
  const host = await session(0);
  giveUp.abort();
  await second;
  open(host, [9000], true);
  await first;
  const back = client.locate('api', 7000);
  expect(await failure(client.locate('api', 7001))).toEqual(refused);
  open(host, [9000, 7000], true);
  expect((await back).realPort).toBe(7000);
});

test('it is refused at the limit, and at once from then on', async () => {
  cluster = await bootCluster([{ name: 'api' }], { expectLimit: LIMIT });
  const { session } = staged();
  const client = await cluster.client();
  const cause = failure(client.locate('api', 7000));
  const host = await session(0);
  const began = performance.now();
  open(host, [9000], true);
  expect(await cause).toEqual(refused);
  expect(performance.now() - began).toBeGreaterThan(LIMIT - 5);
  const later = performance.now();
  expect(await failure(client.locate('api', 7000))).toEqual(refused);
  expect(performance.now() - later).toBeLessThan(LIMIT);
  const { detail } = await cluster.event('api', 'refused', (e) => Number(e.detail.waitedMs) < LIMIT / 2);
  expect(detail).toMatchObject({ port: 7000, errno: 'ECONNREFUSED' });
});

test("the member's own deadline is no longer than before", async () => {
  cluster = await bootCluster([{ name: 'api', allocationTimeout: 400 }]);
  const { session } = staged();
  const cause = failure((await cluster.client()).locate('api', 7000));
  open(await session(0), [9000], true);
  expect((await cause).errno).toBe('ETIMEDOUT');
});

test('a port of an earlier session is waited for; one that no session had is not', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  const { session, exit } = staged();
  const client = await cluster.client();
  const cause = client.locate('api', 7000);
  const first = await session(0);
  open(first, [9000, 7000], true);
  await cause;
  await exit(first);
  await cluster.event('api', 'exited');
  const next = client.locate('api', 9000);
  const second = await session(1);
  open(second, [9000], true);
  await next;
  expect(await failure(client.locate('api', 7001))).toEqual(refused);
  const late = client.locate('api', 7000);
  expect(await failure(client.locate('api', 7002))).toEqual(refused);
  open(second, [9000, 7000], true);
  expect((await late).realPort).toBe(7000);
});

test('a resumed host is waited for the ports that it had, and for no other', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  const { suspend, session } = staged();
  const client = await cluster.client();
  const cause = client.locate('api', 7000);
  const first = await session(0);
  open(first, [9000, 7000], true);
  await cause;
  await suspend(first);
  await cluster.event('api', 'suspended');
  cluster.host('api', async (invocation) => {
    // Its guest is there already.
    const host = await cluster.supervise(invocation);
    resumed(host);
    await host.stopped;
    return { host: 'api', epoch: invocation.epoch, outcome: 'released' };
  });
  let resumed: (host: Supervisor) => void = () => undefined;
  const second = new Promise<Supervisor>((resolve) => (resumed = resolve));
  const wrong = failure(client.locate('api', 7001));
  const right = client.locate('api', 7000);
  const host = await second;
  open(host, [9000], true);
  expect(await wrong).toEqual(refused);
  open(host, [9000, 7000], true);
  expect((await right).realPort).toBe(7000);
});

test('a seed that was restarted knows by how long the clients have waited already', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  const { session } = staged();
  const client = await cluster.client();
  const cause = client.locate('api', 7000);
  const host = await session(0);
  host.listen(9000);
  await cluster.event('api', 'running');
  await cluster.restartSeed({ grace: 2_000 });
  await cluster.event('api', 'joined', (e) => e.detail.adopted === true);
  // Its `welcome` is still on the way.
  while (!host.session.connected) await new Promise((resolve) => setImmediate(resolve));
  open(host, [9000], true);
  expect(await failure((await cluster.client()).locate('api', 7001))).toEqual(refused);
  open(host, [9000, 7000], true);
  expect((await cause).realPort).toBe(7000);
});

test('locates of ports in any number do not displace the one that the host was allocated for', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  const { session } = staged();
  const client = await cluster.client();
  const cause = client.locate('api', 7000);
  const others = Array.from({ length: 300 }, (_, i) => failure(client.locate('api', 10_000 + i)));
  const host = await session(0);
  open(host, [9000], true);
  // More than are remembered: those are refused at once.
  expect((await Promise.race(others)).errno).toBe('ECONNREFUSED');
  open(host, [9000, 7000], true);
  expect((await cause).realPort).toBe(7000);
  await host.exit(0);
  await Promise.all(others);
});
