/** A host whose guests are likely to connect to another one is sent where that one is, by a real seed. */
import { fetchEdges, orderHost } from '../../../../src/runtime/control/index';
import { eventually } from '../../../support/eventually';
import { bootCluster, type Cluster, type Supervisor } from '../cluster';

let cluster: Cluster;
/** By name: the supervisors that have joined. */
let joined: Map<string, Supervisor[]>;
afterEach(() => cluster.close());

/** Hosts whose supervisors are in the hands of the test, which says when each of them listens. */
async function boot(edges: Readonly<Record<string, readonly string[]>>, flat?: number) {
  cluster = await bootCluster(
    Object.entries(edges).map(([name, connectsTo]) => ({ name, connectsTo })),
    flat === undefined ? {} : { flat },
  );
  joined = new Map();
  for (const name of Object.keys(edges)) {
    cluster.host(name, async (invocation) => {
      const supervisor = await cluster.supervise(invocation);
      joined.set(name, [...(joined.get(name) ?? []), supervisor]);
      await supervisor.stopped;
      return { host: name, epoch: invocation.epoch, outcome: 'released' };
    });
  }
}
/** The supervisor of that allocation of the host, once it has joined. */
async function supervisor(name: string, allocation = 1): Promise<Supervisor> {
  await eventually(() => (joined.get(name)?.length ?? 0) >= allocation);
  return joined.get(name)![allocation - 1];
}
/** What is sent after all that the seed has for this host so far has come. */
async function settled({ session }: Supervisor): Promise<void> {
  await session.locate('nobody', 80).catch(() => undefined);
}
const start = (name: string) => orderHost(cluster.access('operator'), name, 'start');
const stop = (name: string) => orderHost(cluster.access('operator'), name, 'stop');
const edge = async () => {
  const [{ hits, misses }] = await fetchEdges(cluster.access('operator'));
  return { hits, misses };
};

/** `web` and `api` run, and `web` has been sent where `api` is. */
async function expecting(): Promise<{ web: Supervisor; api: Supervisor; epoch: number }> {
  await boot({ web: ['api'], api: [] });
  void start('web');
  const [web, api] = [await supervisor('web'), await supervisor('api')];
  web.listen(80);
  api.listen(80);
  await eventually(() => web.told.length === 2);
  return { web, api, epoch: api.invocation.epoch };
}

test.each([
  ['web', 'api'],
  ['api', 'web'],
])('it is sent when both run, whichever is last: %s listens first', async (...order) => {
  await boot({ web: ['api'], api: [] });
  void start('web');
  await supervisor(order[1]);
  const first = await supervisor(order[0]);
  first.listen(80);
  await cluster.event(order[0], 'running');
  const web = await supervisor('web');
  await settled(web);
  expect(web.told).toEqual([]);
  (await supervisor(order[1])).listen(80);
  await eventually(() => web.told.length === 2);
  const { epoch } = (await supervisor('api')).invocation;
  expect(web.told).toEqual([`api ${epoch} running`, `expected: api ${epoch}`]);
});

test('a connect without a locate is a hit as soon as the seed is told of it', async () => {
  const { web, api, epoch } = await expecting();
  expect(await edge()).toEqual({ hits: 0, misses: 0 });
  web.session.used('api', epoch);
  await cluster.event('web', 'prefetch-used', ({ detail: { to } }) => to === 'api');
  // Told again, and located after all: the same guess.
  web.session.used('api', epoch);
  await web.session.locate('api', 80);
  expect(await edge()).toEqual({ hits: 1, misses: 0 });
  expect(api.told).toEqual([]);
});

test('a guess that nobody uses is a miss, as before', async () => {
  await expecting();
  await stop('web');
  await cluster.event('web', 'prefetch-unused', ({ detail: { to } }) => to === 'api');
  expect(await edge()).toEqual({ hits: 0, misses: 1 });
});

test('the host ends: it is sent that, and what is said of the epoch then is no hit', async () => {
  const { web, epoch } = await expecting();
  await stop('api');
  await eventually(() => web.told.at(-1) === `api ${epoch} imagined`);
  web.session.used('api', epoch);
  // A connect of its own locates it, as ever.
  const located = web.session.locate('api', 80);
  const next = await supervisor('api', 2);
  web.session.used('api', epoch);
  next.listen(80);
  expect((await located).location.epoch).toBeGreaterThan(epoch);
  expect(await edge()).toEqual({ hits: 0, misses: 0 });
});

test('a suspension waits for the host that was sent it, and does not once that has gone', async () => {
  const { web, api } = await expecting();
  await web.session.leave({ outcome: 'exited', exitCode: 0 });
  expect((await api.session.suspend()).ok).toBe(true);
});

test('another seed has expected nothing: what it is told is one more connect', async () => {
  const { web, epoch } = await expecting();
  await cluster.restartSeed();
  await cluster.event('api', 'joined', ({ time }) => time > cluster.events.at(-1)!.time - 10_000);
  await eventually(() => web.session.connected);
  web.session.used('api', epoch);
  await settled(web);
  expect(await edge()).toEqual({ hits: 0, misses: 0 });
});

test('a circle: each host is sent the next one, and the one that was there before is not started or sent again', async () => {
  await boot({ a: ['b'], b: ['c'], c: ['a'] });
  void start('a');
  for (const name of ['a', 'b', 'c']) (await supervisor(name)).listen(80);
  const [a, b, c] = await Promise.all(['a', 'b', 'c'].map((name) => supervisor(name)));
  await eventually(() => a.told.length === 2 && b.told.length === 2);
  await settled(c);
  expect([a, b, c].map(({ told }) => told.at(-1)?.split(' ').slice(0, 2).join(' '))).toEqual([
    'expected: b',
    'expected: c',
    undefined,
  ]);
});

test('on network flat nothing is sent: guests connect without their supervisor', async () => {
  await boot({ web: ['api'], api: [] }, 64);
  void start('web');
  const [web, api] = [await supervisor('web'), await supervisor('api')];
  api.listen(80);
  web.listen(80);
  await Promise.all(['web', 'api'].map((name) => cluster.event(name, 'running')));
  await settled(web);
  expect(web.told).toEqual([]);
});
