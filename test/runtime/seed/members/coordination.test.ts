/** The coordination service of a real seed: barriers and the list of members, their bounds, and a seed's restart. */
import type { MemberEntry } from '../../../../src/contract/control/membership';
import type { BarrierError } from '../../../../src/runtime/control/index';
import { MOST_BARRIERS } from '../../../../src/runtime/seed/members/barriers';
import { eventually } from '../../../support/eventually';
import { bootCluster, type Cluster } from '../cluster';

let cluster: Cluster;
afterEach(() => cluster.close());

const HOSTS = ['a', 'b', 'c'].map((name) => ({ name }));
const failed = (barrier: Promise<void>) =>
  barrier.then(
    () => undefined,
    (error: BarrierError) => ({ code: error.code, message: error.message, missing: error.missing }),
  );

/** What a session is told of the members: the list, and one line for each change. */
function follow(session: Awaited<ReturnType<Cluster['client']>>) {
  const seen: string[] = [];
  const watchers = new Set<() => void>();
  let restarts = 0;
  const end = session.coordination.follow({
    onRestart: () => {
      restarts += 1;
    },
    onMembers: (members: readonly MemberEntry[], complete) => {
      seen.push(...members.map(({ name, state }) => `${state} ${name}`), ...(complete ? ['complete'] : []));
      for (const watcher of [...watchers]) watcher();
    },
  });
  const until = (line: string, from = 0) =>
    new Promise<void>((resolve) => {
      const look = () => {
        if (!seen.slice(from).includes(line)) return;
        watchers.delete(look);
        resolve();
      };
      watchers.add(look);
      look();
    });
  return { seen, end, until, restarts: () => restarts };
}

test('a barrier by names allocates the hosts, and is met when they have joined', async () => {
  cluster = await bootCluster(HOSTS);
  for (const { name } of HOSTS) cluster.host(name, cluster.serves(80));
  const client = await cluster.client();
  await client.coordination.barrier({ hosts: ['a', 'node-1'], timeout: 10_000 });
  const { detail } = await cluster.event('a', 'allocating');
  expect(detail).toMatchObject({ by: client.welcome.self.name, port: null });
  expect(cluster.events.some(({ host, event }) => host === 'c' && event === 'allocating')).toBe(false);
  // Those that are there already are not waited for.
  await client.coordination.barrier({ count: 2, hosts: ['a', 'b'], timeout: 0 });
});

test('a barrier by count allocates nothing, and is met by the last that joins', async () => {
  cluster = await bootCluster(HOSTS);
  for (const { name } of HOSTS) cluster.host(name, cluster.serves(80));
  const client = await cluster.client();
  let met = 0;
  const waits = [2, 3].map((count) => client.coordination.barrier({ count, timeout: 10_000 }).then(() => met++));
  await client.locate('a', 80);
  expect(met).toBe(0);
  await client.locate('b', 80);
  await waits[0];
  expect(met).toBe(1);
  await client.locate('c', 80);
  await waits[1];
});

test.each([
  [{ hosts: ['a', 'b'] }, "not met within 300 ms: missing: 'b'", ['b']],
  [{ count: 3 }, 'not met within 300 ms: 1 of 3 hosts have joined', []],
  [{ count: 3, hosts: ['b'] }, "not met within 300 ms: missing: 'b'; 1 of 3 hosts have joined", ['b']],
  [{ hosts: ['a', 'nobody'] }, "cannot be met: there is no host 'nobody' in the cluster", ['nobody']],
])('a barrier that is not met says what is missing: %j', async (rule, message, missing) => {
  cluster = await bootCluster(HOSTS);
  cluster.host('a', cluster.serves(80));
  const client = await cluster.client();
  await client.locate('a', 80);
  expect(await failed(client.coordination.barrier({ ...rule, timeout: 300 }))).toEqual({
    ...{ code: 'failed', message, missing },
  });
});

test('a host that is awaited is not started any more once nobody waits for it', async () => {
  cluster = await bootCluster(HOSTS, { grace: 400 });
  cluster.host('a', cluster.serves(80));
  const client = await cluster.client();
  const giveUp = new AbortController();
  const wait = failed(client.coordination.barrier({ hosts: ['a'], timeout: 10_000 }, { signal: giveUp.signal }));
  await cluster.event(null, 'barrier-waits');
  giveUp.abort();
  expect(await wait).toMatchObject({ code: 'ended' });
  // The grace time is over once this is answered.
  cluster.host('b', cluster.serves(80));
  await client.locate('b', 80);
  expect(cluster.events.some(({ host }) => host === 'a')).toBe(false);
});

test('a barrier outlives the seed', async () => {
  cluster = await bootCluster(HOSTS);
  for (const { name } of HOSTS) cluster.host(name, cluster.serves(80));
  const client = await cluster.client();
  const wait = client.coordination.barrier({ count: 2, timeout: 20_000 });
  await cluster.event(null, 'barrier-waits');
  await cluster.restartSeed();
  const other = await cluster.client();
  await Promise.all([other.locate('a', 80), other.locate('b', 80)]);
  await wait;
});

test('the members: those that are there, those that come and go, and none twice', async () => {
  cluster = await bootCluster(HOSTS);
  cluster.host('a', async (invocation) => {
    const supervisor = await cluster.supervise(invocation);
    supervisor.listen(80);
    return supervisor.exit(0);
  });
  cluster.host('b', cluster.serves(80));
  const client = await cluster.client();
  await client.locate('b', 80);
  const list = follow(client);
  await list.until('complete');
  const self = client.welcome.self.name;
  expect(list.seen).toEqual([`joined ${self}`, 'joined b', 'complete']);
  await client.coordination.barrier({ hosts: ['a'], timeout: 10_000 }).catch(() => undefined);
  await list.until('left a');
  const other = await cluster.client();
  await list.until(`joined ${other.welcome.self.name}`);
  list.end();
  const { length } = list.seen;
  await (await cluster.client()).locate('b', 80);
  expect(list.seen).toHaveLength(length);
});

test('after a restart of the seed the list is not complete before its members are back', async () => {
  cluster = await bootCluster(HOSTS);
  cluster.host('b', cluster.serves(80));
  const client = await cluster.client();
  await client.locate('b', 80);
  const list = follow(client);
  await list.until('complete');
  const { length } = list.seen;
  await cluster.restartSeed({ grace: 1_000 });
  await list.until('complete', length);
  expect(list.restarts()).toBe(2);
  expect(list.seen.slice(length).sort()).toEqual(['complete', 'joined b', `joined ${client.welcome.self.name}`].sort());
});

test('too many barriers at once cost the member its connection, and nobody else anything', async () => {
  cluster = await bootCluster(HOSTS);
  const [greedy, other] = [await cluster.client(), await cluster.client()];
  const ask = (timeout: number) => failed(greedy.coordination.barrier({ count: 3, timeout }));
  const waits = Array.from({ length: MOST_BARRIERS }, () => ask(60_000));
  await failed(other.coordination.barrier({ hosts: ['a'], timeout: 100 }));
  expect(cluster.logs.join('\n')).not.toContain('barriers are open already');
  waits.push(ask(60_000));
  await cluster.event(null, 'barrier-waits', ({ detail }) => detail.count === 3);
  expect(await failed(other.coordination.barrier({ hosts: ['a'], timeout: 100 }))).toMatchObject({ missing: ['a'] });
  expect(cluster.logs.join('\n')).toContain(`${MOST_BARRIERS} barriers are open already; allowed: ${MOST_BARRIERS}`);
  greedy.close();
  expect(await Promise.all(waits)).toEqual(Array(MOST_BARRIERS + 1).fill(expect.objectContaining({ code: 'ended' })));
});

test('who asks for the members again and again loses its connection', async () => {
  cluster = await bootCluster(HOSTS);
  const [greedy, other] = [await cluster.client(), await cluster.client()];
  for (let i = 0; i < 40; i++) follow(greedy);
  const list = follow(other);
  await list.until('complete');
  await eventually(() => cluster.logs.join('\n').includes('it asks for the members too often'));
});
