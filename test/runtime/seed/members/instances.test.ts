/** Host instances at a real seed: who may join as one, and what a connect to one waits for. */
import { parseManifest } from '../../../../src/contract/manifest';
import { ControlError, type Session, type SessionOptions } from '../../../../src/runtime/control/index';
import { bootCluster, type Cluster, failure, mapping } from '../cluster';

let cluster: Cluster;
afterEach(() => cluster?.close());

const VM = { name: 'vm', kind: 'instance' } as const;
type Member = Session & { readonly stops: Promise<boolean> };

/** Joins as the supervisor of an instance does. */
async function join(life: string, options: Partial<SessionOptions> = {}): Promise<Member> {
  let epoch: number | undefined;
  let stop: (fenced: boolean) => void = () => undefined;
  const stops = new Promise<boolean>((resolve) => (stop = resolve));
  const session = await cluster.client({
    join: () => ({ host: 'vm', epoch, life, ports: [mapping(80)] }),
    onWelcome: ({ self }) => (epoch = self.epoch),
    onStop: (_reason, fenced) => stop(fenced),
    ...options,
  });
  return Object.assign(session, { stops });
}

const refusal = (joining: Promise<unknown>) =>
  joining.then(
    () => 'none',
    (error: ControlError) => `${error.code}: ${error.message}`,
  );

test('a connect to an instance that has not joined waits for it', async () => {
  cluster = await bootCluster([VM]);
  const client = await cluster.client();
  const located = client.locate('vm', 80);
  const vm = await join('a');
  expect((await located).location).toMatchObject({ host: 'vm', epoch: vm.welcome.self.epoch, state: 'running' });
  expect(cluster.lambda.requests).toHaveLength(0);
  // A port that is not there is refused, as a function's is.
  vm.ports([mapping(80)], true);
  expect(await failure(client.locate('vm', 81))).toMatchObject({ errno: 'ECONNREFUSED' });
});

test('… for its allocationTimeout, and is then told why', async () => {
  cluster = await bootCluster([{ ...VM, allocationTimeout: 300 }]);
  const client = await cluster.client();
  const since = performance.now();
  expect(await failure(client.locate('vm', 80))).toEqual({
    errno: 'ETIMEDOUT',
    reason: "'vm' is a host instance that has not joined; waited 300 ms for port 80",
  });
  expect(performance.now() - since).toBeGreaterThanOrEqual(295);
  expect(cluster.lambda.requests).toHaveLength(0);
});

test('a second one is refused for as long as the first is connected, and is told where that is', async () => {
  cluster = await bootCluster([VM]);
  const first = await join('a');
  const { epoch } = first.welcome.self;
  expect(await refusal(join('b'))).toBe(
    `refused: 'vm' has joined already: from 127.0.0.1, as epoch ${epoch}; end that one first`,
  );
  // Neither does one get in that names an epoch.
  const named = join('b', { join: () => ({ host: 'vm', epoch: epoch + 1, life: 'b', ports: [] }) });
  expect(await refusal(named)).toContain('has joined already');
  expect(first.connected).toBe(true);
  await first.leave({ outcome: 'released' });
  const second = await join('b');
  expect(second.welcome.self.epoch).toBeGreaterThan(epoch);
});

test('one that has lost its connection is replaced, and fenced when it is back', async () => {
  cluster = await bootCluster([VM], { lostAfter: 60_000 });
  const first = await join('a');
  const { epoch } = first.welcome.self;
  first.close();
  await cluster.event('vm', 'disconnected');
  const second = await join('b');
  expect(second.welcome.self.epoch).toBeGreaterThan(epoch);
  const back = join('a', { join: () => ({ host: 'vm', epoch, life: 'a', ports: [] }) });
  expect(await refusal(back)).toBe(`fenced: epoch ${epoch} of 'vm' has ended`);
});

test('one that is not heard of any more has ended after the time for that, and a later one has a newer epoch', async () => {
  cluster = await bootCluster([VM], { lostAfter: 200 });
  const first = await join('a');
  first.close();
  const { detail } = await cluster.event('vm', 'released');
  expect(detail).toMatchObject({ note: 'its supervisor has not been heard of for 200 ms' });
  const second = await join('b');
  expect(second.welcome.self.epoch).toBeGreaterThan(first.welcome.self.epoch);
});

test('after a restart of the seed the first is back before another one gets in', async () => {
  cluster = await bootCluster([VM]);
  const first = await join('a');
  const { epoch } = first.welcome.self;
  // Its connection is down, and the seed is back before it notices.
  await cluster.restartSeed({ grace: 3_000 });
  expect(await refusal(join('b'))).toContain(`'vm' has joined already: from 127.0.0.1, as epoch ${epoch}`);
  expect(first.welcome.self.epoch).toBe(epoch);
  expect(first.connected).toBe(true);
});

test('one whose join waits says nothing meanwhile', async () => {
  cluster = await bootCluster([VM], { grace: 60_000 });
  const joining = new AbortController();
  const waits = join('a', { signal: joining.signal });
  const first = await cluster.client();
  expect(first.connected).toBe(true);
  joining.abort();
  await expect(waits).rejects.toBeInstanceOf(ControlError);
});

test('a leave as a host that is suspended ends it: nothing would resume it', async () => {
  cluster = await bootCluster([VM]);
  const vm = await join('a');
  await vm.leave({ outcome: 'suspended' });
  await cluster.event('vm', 'released');
  expect((await join('b')).welcome.self.epoch).toBeGreaterThan(vm.welcome.self.epoch);
  expect(cluster.lambda.requests).toHaveLength(0);
});

test('an unknown name, a function: refused by their names', async () => {
  cluster = await bootCluster([VM, { name: 'api' }]);
  const as = (host: string) => refusal(join('a', { join: () => ({ host, life: 'a', ports: [] }) }));
  expect(await as('nobody')).toBe("refused: there is no host 'nobody' in the cluster");
  expect(await as('api')).toBe("refused: 'api' is a function host: join as a client of its own, or under its name");
});

test('the seed says which cluster it is, before any key is known', async () => {
  cluster = await bootCluster([VM]);
  let named: string | undefined;
  const { secret } = cluster.access('client');
  await cluster.client({
    secret: (name) => {
      named = name;
      return `.${secret.toString('base64')}`.slice(1);
    },
  });
  expect(named).toBe('test');
  const failing = cluster.client({
    secret: () => {
      throw new Error('none is there');
    },
  });
  await expect(failing).rejects.toMatchObject({ code: 'rejected', message: expect.stringContaining('none is there') });
});

const set = { startWith: ['api'], wakeSchedule: 'rate(1 hour)', restartPolicy: 'always', pooled: true } as const;
test.each(Object.entries(set))('%s is for functions only', (field, value) => {
  const hosts = [
    { name: 'api', command: ['guest'] },
    { ...VM, [field]: value },
  ];
  const parse = () => parseManifest({ version: 1, cluster: { name: 'test' }, hosts });
  expect(parse).toThrow(new RegExp(`hosts\\.1\\.${field}: is .* on host 'vm'; allowed: only for kind 'function'`));
});
