/** Hosts that share a function: the seed invokes each as the tenant of its name, in every way in which it invokes. */
import { bootCluster, type Cluster, type Supervisor } from '../cluster';

let cluster: Cluster;
afterEach(() => cluster.close());

const boot = (more: object = {}) =>
  bootCluster(
    [
      ...['worker-0', 'worker-1'].map((name) => ({ name, functionName: 'test-worker', pooled: true, ...more })),
      { name: 'api' },
    ],
    {},
    { reserved: false },
  );
/** What was sent, and the tenant that it was sent as. */
const sent = () =>
  cluster.lambda.requests.map(({ name, invocation, headers }) => ({
    ...{ name, host: invocation.host, action: invocation.action, pooled: invocation.pooled },
    tenant: headers['x-amz-tenant-id'],
  }));
const as = (host: string, action = 'run') => ({ name: 'test-worker', host, action, pooled: true, tenant: host });

test('each by its own invocation, at once; and others without a tenant', async () => {
  cluster = await boot();
  cluster.host('worker', cluster.serves(80));
  cluster.host('api', cluster.serves(80));
  const client = await cluster.client();
  const hosts = ['worker-0', 'worker-1', 'api'];
  const located = await Promise.all(hosts.map((host) => client.locate(host, 80)));
  expect(new Set(located.map(({ location }) => location.address)).size).toBe(1);
  expect(located.map(({ location }) => location.host)).toEqual(hosts);
  expect(sent().sort((a, b) => (a.host < b.host ? 1 : -1))).toEqual([
    as('worker-1'),
    as('worker-0'),
    { name: 'test-api', host: 'api', action: 'run', pooled: undefined, tenant: undefined },
  ]);
});

test('one of them that is suspended, resumed, suspended and released; the other one runs on', async () => {
  cluster = await boot({ releaseTimeout: 400 });
  const open: Supervisor[] = [];
  const ends: Array<() => void> = [];
  cluster.host('worker', async (invocation) => {
    const { host, epoch, action } = invocation;
    if (action === 'release') return { host, epoch, outcome: 'released' };
    if (host === 'worker-1') return cluster.serves(80)(invocation);
    const supervisor = await cluster.supervise(invocation);
    open.push(supervisor);
    supervisor.listen(80);
    await new Promise<void>((done) => ends.push(done));
    return (await supervisor.suspend())!;
  });
  const client = await cluster.client();
  const before = await client.locate('worker-1', 80);
  const first = await client.locate('worker-0', 80);
  ends.shift()!();
  await cluster.event('worker-0', 'suspended');
  const { epoch } = first.location;
  const again = await client.locate('worker-0', 80, { staleEpoch: epoch! });
  expect(again.location.epoch).toBe(epoch);
  ends.shift()!();
  await cluster.event('worker-0', 'released');
  expect(sent()).toEqual([as('worker-1'), as('worker-0'), as('worker-0'), as('worker-0', 'release')]);
  expect((await client.locate('worker-1', 80)).location.epoch).toBe(before.location.epoch);
  expect(cluster.events.filter(({ host }) => host === 'worker-1').map(({ event }) => event)).not.toContain('suspended');
});

test('a second sandbox of one host is refused while the first is there: no 429 says so', async () => {
  cluster = await boot();
  const lives: Record<string, string[]> = { 'worker-0': [], 'worker-1': [] };
  const fenced: string[] = [];
  cluster.host('worker', async (invocation) => {
    const { host, epoch } = invocation;
    // The platform runs each invocation in two sandboxes of the tenant.
    const both = ['one', 'two'].map(async (life) => {
      const supervisor = await cluster.supervise(invocation, { life }).catch((error) => {
        expect(error).toMatchObject({ code: 'fenced' });
        fenced.push(host);
      });
      if (!supervisor) return;
      lives[host].push(life);
      supervisor.listen(80);
      await supervisor.stopped;
    });
    await Promise.all(both);
    return { host, epoch, outcome: 'fenced' };
  });
  const client = await cluster.client();
  for (const host of ['worker-0', 'worker-1']) await client.locate(host, 80);
  expect(Object.values(lives).map(({ length }) => length)).toEqual([1, 1]);
  expect(fenced.sort()).toEqual(['worker-0', 'worker-1']);
  expect(cluster.lambda.requests.some(({ throttled }) => throttled)).toBe(false);
});
