/**
 * What a cluster may cost: members beyond a limit are refused, and nobody else is. The arithmetic is in
 * limits-budget.test.ts.
 */
import type { ManifestLimits } from '../../../../src/contract/manifest';
import { bootCluster, type Cluster, failure } from '../cluster';

let cluster: Cluster;
let now: number;
afterEach(() => cluster.close());

const names = ['h0', 'h1', 'h2', 'h3', 'h4', 'h5', 'h6', 'h7'];
/** Eight hosts that serve port 80, and a clock that stands still. */
const boot = async (limits: Partial<ManifestLimits>) => {
  now = 1_000;
  cluster = await bootCluster(
    names.map((name) => ({ name })),
    { clock: () => now },
    {},
    limits,
  );
  for (const name of names) cluster.host(name, cluster.serves(80));
};
type Client = Awaited<ReturnType<Cluster['client']>>;
/** Each host's answer: `ok`, or the errno. */
const askAll = (client: Client, hosts: readonly string[]) =>
  Promise.all(
    hosts.map(async (host) => {
      const { errno } = await failure(client.locate(host, 80));
      return errno === 'none' ? 'ok' : errno;
    }),
  );
const times = (count: number, what: string) => Array.from({ length: count }, () => what);

test('a greedy member is refused, reaches what runs, and another member is served', async () => {
  await boot({ maxAllocationsPerMinutePerMember: 3 });
  const greedy = await cluster.client();
  const modest = await cluster.client();
  expect(await askAll(greedy, names)).toEqual([...times(3, 'ok'), ...times(5, 'ENOBUFS')]);
  expect(cluster.lambda.requests).toHaveLength(3);
  const refusal = await failure(greedy.locate('h7', 80));
  expect(refusal.reason).toContain(
    "'h7' is not started: 'client-0' may start 3 hosts a minute (maxAllocationsPerMinutePerMember); the next in 20 s",
  );
  expect(await askAll(modest, ['h5', 'h6'])).toEqual(['ok', 'ok']);
  // What others have started is there for everybody.
  expect(await askAll(greedy, ['h0', 'h5', 'h6', 'h7'])).toEqual(['ok', 'ok', 'ok', 'ENOBUFS']);
  now += 20_000;
  expect(await askAll(greedy, ['h7', 'h4'])).toEqual(['ok', 'ENOBUFS']);
});

test('the event: one for each member and second, with all refusals since, and no refusal has one of its own', async () => {
  await boot({ maxAllocationsPerMinutePerMember: 1 });
  const greedy = await cluster.client();
  const modest = await cluster.client();
  await askAll(greedy, names);
  for (let i = 0; i < 20; i++) await askAll(greedy, names.slice(1));
  await askAll(modest, ['h1', 'h2']);
  now += 1_000;
  await askAll(greedy, ['h7']);
  await cluster.event('h7', 'limited');
  const limited = cluster.events.filter(({ event }) => event === 'limited');
  expect(limited.map(({ host, detail: { by, refused } }) => [host, by, refused])).toEqual([
    ['h1', 'client-0', 1],
    ['h2', 'client-1', 1],
    ['h7', 'client-0', 147],
  ]);
  expect(limited[0].detail).toMatchObject({ limit: 'maxAllocationsPerMinutePerMember', allowed: 1 });
  expect(cluster.events.filter(({ event }) => event === 'refused')).toEqual([]);
  expect(cluster.logs.filter((line) => line.startsWith('warn limited'))).toHaveLength(3);
});

test('a new connection is no new budget: neither a client’s nor a host’s', async () => {
  await boot({ maxAllocationsPerMinutePerMember: 1 });
  const first = await cluster.client();
  const virtual = first.welcome.self.address;
  expect(await askAll(first, ['h0', 'h1'])).toEqual(['ok', 'ENOBUFS']);
  first.close();
  // The seed has seen the end once the address is given again.
  let again = await cluster.client({ join: () => ({ ports: [], virtual }) });
  while (again.welcome.self.address !== virtual) {
    again.close();
    again = await cluster.client({ join: () => ({ ports: [], virtual }) });
  }
  expect(await askAll(again, ['h2'])).toEqual(['ENOBUFS']);

  let invocation: Parameters<Cluster['supervise']>[0] | undefined;
  cluster.host('h3', async (given) => {
    invocation = given;
    return cluster.serves(80)(given);
  });
  const other = await cluster.client();
  await other.locate('h3', 80);
  for (const expected of ['ok', 'ENOBUFS', 'ENOBUFS']) {
    const { session } = await cluster.supervise(invocation!);
    expect((await failure(session.locate(expected === 'ok' ? 'h4' : 'h5', 80))).errno).toBe(
      expected === 'ok' ? 'none' : expected,
    );
  }
});

test('the cluster’s limit is for all members together', async () => {
  await boot({ maxAllocationsPerMinute: 3 });
  const one = await cluster.client();
  const two = await cluster.client();
  expect(await askAll(one, ['h0', 'h1'])).toEqual(['ok', 'ok']);
  expect(await askAll(two, ['h2', 'h3'])).toEqual(['ok', 'ENOBUFS']);
  expect((await failure(one.locate('h3', 80))).reason).toContain(
    'the cluster may start 3 hosts a minute (maxAllocationsPerMinute)',
  );
  expect(await askAll(one, ['h0', 'h1', 'h2'])).toEqual(['ok', 'ok', 'ok']);
  now += 20_000;
  expect(await askAll(one, ['h3'])).toEqual(['ok']);
});

test('so many hosts run, and when one is suspended another one may; waking it is a start like any other', async () => {
  await boot({ maxRunningHosts: 2, maxAllocationsPerMinutePerMember: 4 });
  const suspensions: Array<() => void> = [];
  cluster.host('h0', async (invocation) => {
    const host = await cluster.supervise(invocation);
    host.listen(80);
    await new Promise<void>((resolve) => suspensions.push(resolve));
    return (await host.suspend())!;
  });
  const client = await cluster.client();
  expect(await askAll(client, ['h0', 'h1', 'h2'])).toEqual(['ok', 'ok', 'ENOBUFS']);
  expect((await failure(client.locate('h2', 80))).reason).toContain('2 hosts run, and 2 may (maxRunningHosts)');
  suspensions[0]();
  await cluster.event('h0', 'suspended');
  expect(await askAll(client, ['h2'])).toEqual(['ok']);
  // There is no room for it any more.
  now += 1_000;
  expect(await askAll(client, ['h0'])).toEqual(['ENOBUFS']);
  expect((await cluster.event('h0', 'limited')).detail).toMatchObject({ limit: 'maxRunningHosts', allowed: 2 });
});

test('resumptions count, and so do allocations after failures', async () => {
  await boot({ maxAllocationsPerMinutePerMember: 2 });
  let suspend: () => void = () => undefined;
  const idle = new Promise<void>((resolve) => (suspend = resolve));
  cluster.host('h0', async (invocation) => {
    const host = await cluster.supervise(invocation);
    host.listen(80);
    await idle;
    return (await host.suspend())!;
  });
  const client = await cluster.client();
  expect(await askAll(client, ['h0'])).toEqual(['ok']);
  suspend();
  await cluster.event('h0', 'suspended');
  expect(await askAll(client, ['h0', 'h1'])).toEqual(['ok', 'ENOBUFS']);

  const other = await cluster.client();
  cluster.host('h2', async () => {
    throw new Error('out of cheese');
  });
  expect(await askAll(other, ['h2'])).toEqual(['ENOBUFS']);
  expect(cluster.events.filter(({ event, host }) => event === 'allocating' && host === 'h2')).toHaveLength(2);
  expect(await askAll(other, ['h3'])).toEqual(['ENOBUFS']);
});

test('who waits behind a member without a budget is served: the grace time is over, and each is asked for', async () => {
  await boot({ maxAllocationsPerMinutePerMember: 1 });
  await cluster.restartSeed({ grace: 200 });
  const greedy = await cluster.client();
  const modest = await cluster.client();
  const ofGreedy = askAll(greedy, ['h0', 'h1']);
  const ofModest = (async () => {
    await greedy.locate('h0', 80);
    return 'ok';
  })();
  const behind = askAll(modest, ['h1']);
  expect(await ofGreedy).toEqual(['ok', 'ENOBUFS']);
  expect(await behind).toEqual(['ok']);
  expect(await ofModest).toBe('ok');
});

test('a member that is refused often keeps nobody from being served', async () => {
  await boot({ maxAllocationsPerMinutePerMember: 1 });
  const greedy = await cluster.client();
  await greedy.locate('h0', 80);
  const flood = Array.from({ length: 1_000 }, () => failure(greedy.locate('h1', 80)));
  const modest = await cluster.client();
  expect(await askAll(modest, ['h1'])).toEqual(['ok']);
  const ends = new Set((await Promise.all(flood)).map(({ errno }) => errno));
  expect([...ends].every((errno) => errno === 'ENOBUFS' || errno === 'none')).toBe(true);
});
