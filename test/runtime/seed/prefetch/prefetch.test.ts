/** Hosts that a real seed starts together with those that connect to them. */
import type { ManifestHost, ManifestLimits } from '../../../../src/contract/manifest';
import { fetchEdges, fetchStatus } from '../../../../src/runtime/control/index';
import { bootCluster, type Cluster, failure } from '../cluster';

let cluster: Cluster;
let now: number;
afterEach(() => cluster.close());

type Host = Pick<ManifestHost, 'name'> & Partial<ManifestHost>;

/** Hosts that serve port 80, the first ones each with an edge to the next. */
const boot = async (hosts: readonly Host[], limits: Partial<ManifestLimits> = {}) => {
  now = 1_000;
  cluster = await bootCluster(hosts, { clock: () => now }, {}, limits);
  for (const { name } of hosts) cluster.host(name, cluster.serves(80));
};
const chain = (...names: string[]): Host[] =>
  names.map((name, i) => ({ name, connectsTo: i + 1 < names.length ? [names[i + 1]] : [] }));
const invoked = () => cluster.lambda.requests.length;
const states = async () => {
  const { hosts } = await fetchStatus(cluster.access('operator'));
  return Object.fromEntries(hosts.map(({ name, state }) => [name, state]));
};
const edges = () => fetchEdges(cluster.access('operator'));

test('a chain is started as a whole by its first connect, each host once', async () => {
  await boot(chain('a', 'b', 'c', 'd'));
  const client = await cluster.client();
  await client.locate('a', 80);
  await Promise.all(['b', 'c', 'd'].map((name) => cluster.event(name, 'running')));
  expect(invoked()).toBe(4);
  const { detail } = await cluster.event('d', 'allocating');
  expect(detail).toMatchObject({ by: 'c', port: null, why: "prefetched with 'c'" });
});

test('a circle ends', async () => {
  await boot([
    { name: 'a', connectsTo: ['b', 'c'] },
    { name: 'b', connectsTo: ['c', 'a'] },
    { name: 'c', connectsTo: ['a', 'b'] },
  ]);
  await (await cluster.client()).locate('b', 80);
  await Promise.all(['a', 'b', 'c'].map((name) => cluster.event(name, 'running')));
  expect(invoked()).toBe(3);
  expect((await fetchStatus(cluster.access('operator'))).hosts.map(({ allocations }) => allocations)).toEqual([
    1, 1, 1,
  ]);
});

/** `web` is a supervisor in the hands of the test. */
async function learn() {
  await boot([{ name: 'web' }, { name: 'api' }]);
  const web: Array<Awaited<ReturnType<Cluster['supervise']>>> = [];
  const come = new Set<() => void>();
  cluster.host('web', async (invocation) => {
    const supervisor = await cluster.supervise(invocation);
    supervisor.listen(80);
    web.push(supervisor);
    for (const arrived of come) arrived();
    await supervisor.stopped;
    return { host: 'web', epoch: invocation.epoch, outcome: 'released' };
  });
  const client = await cluster.client();
  /** Allocates `web`, and resolves to its supervisor. */
  const start = async () => {
    const before = web.length;
    await client.locate('web', 80);
    if (web.length === before) await new Promise<void>((resolve) => come.add(resolve));
    return web.at(-1)!;
  };
  const end = async (name: string) => {
    const { orderHost } = await import('../../../../src/runtime/control/index.js');
    await orderHost(cluster.access('operator'), name, 'stop');
  };
  return { start, end };
}

test('a connect of a host after its allocation is learnt; the next time the other one is started with it', async () => {
  const { start, end } = await learn();
  const first = await start();
  expect((await states()).api).toBe('imagined');
  await first.session.locate('api', 80);
  await cluster.event('web', 'edge-learnt', ({ detail }) => detail.to === 'api');
  await end('web');
  await end('api');
  const second = await start();
  const { detail } = await cluster.event('api', 'allocating', ({ detail: { why } }) => why !== undefined);
  expect(detail).toMatchObject({ by: 'web', why: "prefetched with 'web'" });
  await second.session.locate('api', 80);
  await cluster.event('web', 'prefetch-used', ({ detail: { to } }) => to === 'api');
  expect(await edges()).toEqual([
    { from: 'web', to: 'api', kind: 'learnt', hits: 1, misses: 0, wastedMs: 0, wastedStarts: 0 },
  ]);
});

test('a host that ran and did not connect: counted, reported with its cost, and forgotten', async () => {
  const { start, end } = await learn();
  await (await start()).session.locate('api', 80);
  await end('web');
  await end('api');
  await start();
  await cluster.event('api', 'running', ({ detail: { by } }) => by === 'web');
  await end('web');
  await cluster.event('web', 'prefetch-unused', ({ detail: { to } }) => to === 'api');
  await cluster.event('web', 'edge-forgotten', ({ detail: { to } }) => to === 'api');
  await end('api');
  const [edge] = await edges();
  expect(edge).toMatchObject({ kind: 'forgotten', hits: 0, misses: 1, wastedStarts: 1 });
  expect(edge.wastedMs).toBeGreaterThan(0);
  const before = invoked();
  await start();
  expect([invoked() - before, (await states()).api]).toEqual([1, 'imagined']);
});

test('a client teaches nothing', async () => {
  await boot([{ name: 'web' }, { name: 'api' }]);
  const client = await cluster.client();
  await client.locate('web', 80);
  await client.locate('api', 80);
  expect(await edges()).toEqual([]);
});

test('the last room is for connects: of hosts that run, and of allocations a minute', async () => {
  await boot(chain('a', 'b', 'c', 'd', 'e').concat({ name: 'other' }), { maxRunningHosts: 4 });
  const client = await cluster.client();
  await client.locate('a', 80);
  // A quarter of four is left: 'a', 'b' and 'c' run.
  const { detail } = await cluster.event('d', 'prefetch-denied');
  expect(detail).toMatchObject({
    ...{ by: 'c', limit: 'maxRunningHosts' },
    reason: 'a prefetch leaves 1 of 4 (maxRunningHosts) for connects',
  });
  expect((await failure(client.locate('other', 80))).errno).toBe('none');
  expect((await failure(client.locate('e', 80))).errno).toBe('ENOBUFS');
  expect(invoked()).toBe(4);
});

test.each(['maxAllocationsPerMinute', 'maxAllocationsPerMinutePerMember'] as const)(
  '%s: a prefetch is counted as the connect that it is for, and leaves a part of it',
  async (limit) => {
    await boot(
      [{ name: 'a', connectsTo: ['b', 'c', 'd', 'e', 'f'] }, ...['b', 'c', 'd', 'e', 'f'].map((name) => ({ name }))],
      { [limit]: 4 },
    );
    const client = await cluster.client();
    await client.locate('a', 80);
    const denied = await cluster.event('f', 'prefetch-denied');
    expect(denied.detail).toMatchObject({ by: 'a', limit });
    // The start of 'a' is the client's.
    expect(invoked()).toBe(limit === 'maxAllocationsPerMinute' ? 3 : 4);
    expect((await failure(client.locate('f', 80))).errno).toBe('none');
  },
);

test('connects that wait for the end of the grace time come before any prefetch', async () => {
  const names = ['h0', 'h1', 'h2', 'h3'];
  now = 1_000;
  cluster = await bootCluster(
    [...names.map((name) => ({ name, connectsTo: ['x'] })), { name: 'x' }],
    { clock: () => now, grace: 300 },
    {},
    { maxAllocationsPerMinute: 6 },
  );
  for (const name of [...names, 'x']) cluster.host(name, cluster.serves(80));
  const client = await cluster.client();
  const all = await Promise.all(names.map((name) => failure(client.locate(name, 80))));
  expect(all.map(({ errno }) => errno)).toEqual(names.map(() => 'none'));
  const order = cluster.lambda.requests.length;
  expect(order).toBeGreaterThanOrEqual(4);
  const allocating = cluster.events.filter(({ event }) => event === 'allocating').map(({ host }) => host);
  expect(allocating.slice(0, 4).sort()).toEqual(names);
});

test('a port that opens late is waited for, although its host was up before the connect', async () => {
  await boot([{ name: 'web', connectsTo: ['api'] }, { name: 'api' }]);
  let late: (() => void) | undefined;
  cluster.host('api', async (invocation) => {
    const api = await cluster.supervise(invocation);
    const ports = [{ port: 9_000, realPort: 9_000, scope: 'any' as const }];
    api.session.ports(ports, true);
    late = () => api.session.ports([...ports, { port: 80, realPort: 40_080, scope: 'any' }], true);
    await api.stopped;
    return { host: 'api', epoch: invocation.epoch, outcome: 'released' };
  });
  const client = await cluster.client();
  await client.locate('web', 80);
  await cluster.event('api', 'running');
  const waits = client.locate('api', 80);
  // The seed has taken it once it answers what was sent after it.
  await client.locate('web', 80);
  expect((await fetchStatus(cluster.access('operator'))).hosts[1].waiting).toBe(1);
  late!();
  expect((await waits).realPort).toBe(40_080);
});
