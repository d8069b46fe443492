import { hostIdentity } from '../../../../src/contract/control/psk';
import { parseManifest } from '../../../../src/contract/manifest';
import {
  ControlError,
  fetchStatus,
  type Located,
  type Session,
  type Welcome,
} from '../../../../src/runtime/control/index';
import { eventually } from '../../../support/eventually';
import { bootCluster, type Cluster, failure, mapping, type Supervisor } from '../cluster';

let cluster: Cluster;
afterEach(() => cluster.close());

test('killed and restarted in the middle of an allocation: one allocation, and the connect goes through', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  let started: (host: Supervisor) => void = () => undefined;
  const running = new Promise<Supervisor>((resolve) => (started = resolve));
  cluster.host('api', async (invocation) => {
    const host = await cluster.supervise(invocation);
    host.session.report('guest-started');
    started(host);
    await host.stopped;
    return { host: 'api', epoch: invocation.epoch, outcome: 'released' };
  });
  const client = await cluster.client();
  const { address } = client.welcome.self;
  const locate = client.locate('api', 80);
  const host = await running;
  await cluster.restartSeed({ grace: 2_000 });
  await cluster.event('api', 'joined', (e) => e.detail.adopted === true);
  host.listen(80);
  expect((await locate).location.epoch).toBe(host.invocation.epoch);
  expect(cluster.lambda.requests).toHaveLength(1);
  expect(client.welcome.self.address).toBe(address);
});

test('the next seed is told what keeps a host up, although that has not changed', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  cluster.host('api', async (invocation) => {
    const host = await cluster.supervise(invocation);
    host.listen(80);
    host.session.held('connections', 'a connection of anna');
    await host.stopped;
    return { host: 'api', epoch: invocation.epoch, outcome: 'released' };
  });
  const client = await cluster.client();
  await client.locate('api', 80);
  await cluster.restartSeed({ grace: 100 });
  await cluster.event('api', 'joined', (e) => e.detail.adopted === true);
  const heldBy = async () => (await fetchStatus(cluster.access('operator'))).hosts[0].heldBy;
  await eventually(async () => (await heldBy()) !== undefined);
  expect(await heldBy()).toMatchObject({ by: 'connections', what: 'a connection of anna' });
});

test('killed before the function joins: nothing is allocated in the grace time, the function joins the new seed', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  let join: () => void = () => undefined;
  const held = new Promise<void>((resolve) => (join = resolve));
  let start: () => void = () => undefined;
  const started = new Promise<void>((resolve) => (start = resolve));
  cluster.host('api', async (invocation) => {
    start();
    await held;
    return cluster.serves(80)(invocation);
  });
  const client = await cluster.client();
  const locate = client.locate('api', 80);
  await started;
  await cluster.restartSeed({ grace: 1_000 });
  await cluster.event(null, 'seed-started', (e) => e.detail.graceMs === 1_000);
  const waiting = async () => (await fetchStatus(cluster.access('operator'))).hosts[0].waiting;
  await eventually(async () => (await waiting()) === 1);
  join();
  await locate;
  expect(cluster.lambda.requests).toHaveLength(1);
});

test('joins after the grace time: the newer epoch was answered with 429, so the older one is taken', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  let join: () => void = () => undefined;
  const held = new Promise<void>((resolve) => (join = resolve));
  let start: () => void = () => undefined;
  const started = new Promise<void>((resolve) => (start = resolve));
  cluster.host('api', async (invocation) => {
    start();
    await held;
    return cluster.serves(80)(invocation);
  });
  const client = await cluster.client();
  const locate = client.locate('api', 80);
  await started;
  await cluster.restartSeed({ grace: 50 });
  await cluster.event('api', 'throttled');
  join();
  const { epoch } = (await locate).location;
  const [first, second] = cluster.lambda.requests;
  expect(epoch).toBe(first.invocation.epoch);
  expect(second.throttled).toBe(true);
  expect(second.invocation.epoch).toBeGreaterThan(epoch);
});

test('the first host is back after the grace time: the others have as long again', async () => {
  cluster = await bootCluster([{ name: 'api' }, { name: 'web' }, { name: 'other' }], { grace: 1_000 });
  cluster.host('other', cluster.serves(80));
  const client = await cluster.client();
  // Its allocation says that the grace time is over.
  await client.locate('other', 80);
  const back = (name: string) =>
    cluster.supervise(
      {
        version: 1,
        action: 'run',
        cluster: 'test',
        host: name,
        epoch: 5,
        seed: cluster.seed.address,
        secret: cluster.access(hostIdentity(name, 5)).secret.toString('base64'),
      },
      { ports: [mapping(80)] },
    );
  await back('api');
  const locate = client.locate('web', 80);
  await client.locate('api', 80);
  await back('web');
  expect((await locate).location.epoch).toBe(5);
  expect(cluster.lambda.requests.map(({ invocation }) => invocation.host)).toEqual(['other']);
});

test('running hosts rejoin with their epoch, and a later epoch is greater', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  let stop: () => void = () => undefined;
  cluster.host('api', async (invocation) => {
    const host = await cluster.supervise(invocation);
    host.listen(80);
    await new Promise<void>((resolve) => (stop = resolve));
    return host.exit(0);
  });
  const client = await cluster.client();
  const before = await client.locate('api', 80);
  await cluster.restartSeed({ grace: 2_000 });
  const after = await client.locate('api', 80);
  expect(after.location.epoch).toBe(before.location.epoch);
  expect(cluster.lambda.requests).toHaveLength(1);
  stop();
  await cluster.event('api', 'exited');
  expect((await client.locate('api', 80)).location.epoch).toBeGreaterThan(before.location.epoch);
});

test('what is asked as soon as the cluster is joined again is sent once', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  let api: Supervisor | undefined;
  cluster.host('api', async (invocation) => {
    api = await cluster.supervise(invocation);
    api.listen(80);
    await api.stopped;
    return { host: 'api', epoch: invocation.epoch, outcome: 'released' };
  });
  const answers: Array<Promise<Located>> = [];
  let onAsked: () => void = () => undefined;
  const asked = new Promise<void>((resolve) => (onAsked = resolve));
  const onWelcome = () => {
    // The first welcome comes before there is a session to locate through.
    if (!client) return;
    answers.push(client.locate('api', 81));
    onAsked();
  };
  let client: (Session & { readonly welcome: Welcome }) | undefined;
  client = await cluster.client({ onWelcome });
  const { epoch } = (await client.locate('api', 80)).location;
  await cluster.restartSeed({ grace: 2_000 });
  await asked;
  // Answered after all that was asked before: were that sent twice, the second would have ended the connection.
  await client.locate('api', 80);
  api!.listen(80, 81);
  expect((await answers[0]).location.epoch).toBe(epoch);
  expect(answers).toHaveLength(1);
  expect(cluster.logs.join('\n')).not.toContain('is open already');
});

test('the directory is kept over a restart of the seed, and replaced when it has changed', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  const welcomes: Welcome[] = [];
  let onJoined: () => void = () => undefined;
  const client = await cluster.client({
    onWelcome: (welcome) => {
      welcomes.push(welcome);
      onJoined();
    },
  });
  const rejoined = () => new Promise<void>((resolve) => (onJoined = resolve));
  const { directory } = client.welcome;
  expect(directory).toMatchObject([{ name: 'api' }]);
  const second = rejoined();
  await cluster.restartSeed();
  await second;
  // The very same: it was not sent again.
  expect(client.welcome.directory).toBe(directory);
  const hosts = [
    { name: 'web', address: '100.64.0.9', functionName: 'web', command: ['guest'] },
    { name: 'api', address: directory[0].address, functionName: 'api', command: ['guest'] },
  ];
  const third = rejoined();
  await cluster.restartSeed({ manifest: parseManifest({ version: 1, cluster: { name: 'test' }, hosts }) });
  await third;
  expect(client.welcome.directory.map(({ name }) => name)).toEqual(['web', 'api']);
  expect(welcomes).toHaveLength(3);
});

test('an adopted host that renews is invoked again by the new seed', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  let renew: () => void = () => undefined;
  const due = new Promise<void>((resolve) => (renew = resolve));
  cluster.host('api', async (invocation) => {
    const host = await cluster.supervise(invocation);
    host.listen(80);
    await due;
    cluster.host('api', cluster.serves(80));
    await host.session.leave({ outcome: 'renew' });
    return { host: 'api', epoch: invocation.epoch, outcome: 'renew' };
  });
  const client = await cluster.client();
  const before = await client.locate('api', 80);
  await cluster.restartSeed({ grace: 1_000 });
  await client.locate('api', 80);
  renew();
  await cluster.event('api', 'renewing');
  await cluster.event('api', 'rejoined');
  expect((await client.locate('api', 80)).location.epoch).toBe(before.location.epoch);
});

test('a lost supervisor is waited for; then the host is allocated again for those that wait', async () => {
  cluster = await bootCluster([{ name: 'api' }], { lostAfter: 200 }, { reserved: false });
  let lose: () => void = () => undefined;
  cluster.host('api', async (invocation) => {
    const host = await cluster.supervise(invocation);
    host.listen(80);
    lose = () => host.session.close();
    return new Promise(() => undefined);
  });
  const client = await cluster.client();
  const before = await client.locate('api', 80);
  lose();
  await cluster.event('api', 'disconnected');
  cluster.host('api', cluster.serves(80));
  const after = await client.locate('api', 80);
  expect(after.location.epoch).toBeGreaterThan(before.location.epoch);
  const { detail } = await cluster.event('api', 'failed');
  expect(detail).toMatchObject({ backOffMs: 0, reason: expect.stringContaining('has not been heard of for 200 ms') });
});

test('a lost supervisor that is back before anybody needs the host is the host again, and no second allocation', async () => {
  cluster = await bootCluster([{ name: 'api' }], { lostAfter: 100 }, { reserved: false });
  let host: Supervisor | undefined;
  cluster.host('api', async (invocation) => {
    host = await cluster.supervise(invocation);
    host.listen(80);
    return new Promise(() => undefined);
  });
  const client = await cluster.client();
  await client.locate('api', 80);
  host!.session.close();
  await cluster.event('api', 'failed');
  const { epoch } = host!.invocation;
  await cluster.supervise(host!.invocation, { ports: [mapping(80)] });
  expect((await client.locate('api', 80)).location.epoch).toBe(epoch);
  const [status] = (await fetchStatus(cluster.access('operator'))).hosts;
  expect(status).toMatchObject({ state: 'running', epoch, allocations: 1 });
});

test('a function that crashes while others wait: the host is allocated again for them', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  let crash: (error: Error) => void = () => undefined;
  cluster.host('api', async (invocation) => {
    const host = await cluster.supervise(invocation);
    host.listen(80);
    await new Promise((_resolve, reject) => (crash = reject)).finally(() => host.session.close());
    throw new Error('unreachable');
  });
  const client = await cluster.client();
  const before = await client.locate('api', 80);
  const waits = client.locate('api', 81);
  await failure(client.locate('nobody', 1));
  cluster.host('api', cluster.serves(81));
  crash(new Error('signal: killed'));
  expect((await waits).location.epoch).toBeGreaterThan(before.location.epoch);
  const { detail } = await cluster.event('api', 'failed');
  expect(detail).toMatchObject({ backOffMs: 0, reason: expect.stringContaining('signal: killed') });
});

test('a host that an earlier seed started, and that is lost, is found by an invocation: gone, so another takes its place', async () => {
  cluster = await bootCluster([{ name: 'api' }], { lostAfter: 20_000 });
  let die: () => void = () => undefined;
  cluster.host('api', async (invocation) => {
    const host = await cluster.supervise(invocation);
    host.listen(80);
    await new Promise<void>((resolve) => (die = resolve));
    host.session.close();
    throw new Error('killed');
  });
  const client = await cluster.client();
  const before = await client.locate('api', 80);
  await cluster.restartSeed({ grace: 2_000 });
  await client.locate('api', 80);
  cluster.host('api', (invocation) => cluster.serves(80)({ ...invocation, ...invocation.fresh, fresh: undefined }));
  die();
  await cluster.event('api', 'disconnected');
  const after = await client.locate('api', 80);
  expect(after.location.epoch).toBeGreaterThan(before.location.epoch);
  await cluster.event('api', 'probing');
  await cluster.event('api', 'replaced');
});

test('a host that an earlier seed started, and that has only lost its connection, keeps its epoch', async () => {
  cluster = await bootCluster([{ name: 'api' }], { lostAfter: 20_000 });
  const started: Supervisor[] = [];
  cluster.host('api', async (invocation) => {
    const host = await cluster.supervise(invocation, { life: 'one' });
    started.push(host);
    host.listen(80);
    return new Promise(() => undefined);
  });
  const client = await cluster.client();
  const before = await client.locate('api', 80);
  await cluster.restartSeed({ grace: 2_000 });
  await client.locate('api', 80);
  started[0].session.close();
  // Lambda says that it runs.
  await cluster.event('api', 'throttled');
  const locate = client.locate('api', 80);
  (await cluster.supervise(started[0].invocation, { life: 'one' })).listen(80);
  expect((await locate).location.epoch).toBe(before.location.epoch);
  expect(started).toHaveLength(1);
});

test('stale epochs are fenced', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  cluster.host('api', cluster.serves(80));
  const client = await cluster.client();
  const { epoch } = (await client.locate('api', 80)).location;
  const stale = { ...cluster.lambda.requests[0].invocation, epoch: epoch - 1 };
  const identity = hostIdentity('api', epoch - 1);
  const secret = cluster.access(identity).secret.toString('base64');
  const refused = await cluster.supervise({ ...stale, secret }).catch((error: ControlError) => error);
  expect(refused).toBeInstanceOf(ControlError);
  expect(refused).toMatchObject({ code: 'fenced', message: expect.stringContaining('has ended') });
  expect((await client.locate('api', 80)).location.epoch).toBe(epoch);
});

test('cut off for so long that a new session runs: fenced when it comes back, without reserved concurrency too', async () => {
  cluster = await bootCluster([{ name: 'api' }], { lostAfter: 100 }, { reserved: false });
  let started: (host: Supervisor) => void = () => undefined;
  const first = new Promise<Supervisor>((resolve) => (started = resolve));
  cluster.host('api', async (invocation) => {
    const host = await cluster.supervise(invocation);
    cluster.host('api', cluster.serves(80));
    host.listen(80);
    started(host);
    return new Promise(() => undefined);
  });
  const client = await cluster.client();
  const before = await client.locate('api', 80);
  const { invocation, session } = await first;
  session.close();
  await cluster.event('api', 'failed');
  const after = await client.locate('api', 80);
  expect(after.location.epoch).toBeGreaterThan(before.location.epoch);
  await expect(cluster.supervise(invocation)).rejects.toMatchObject({ code: 'fenced' });
  expect((await client.locate('api', 80)).location).toEqual(after.location);
});

test('a newer session that joins ends the older one', async () => {
  cluster = await bootCluster([{ name: 'api' }], {}, { reserved: false });
  let started: (host: Supervisor) => void = () => undefined;
  const first = new Promise<Supervisor>((resolve) => (started = resolve));
  cluster.host('api', async (invocation) => {
    const host = await cluster.supervise(invocation);
    host.listen(80);
    started(host);
    return { host: 'api', epoch: invocation.epoch, outcome: (await host.stopped) ? 'fenced' : 'released' };
  });
  const client = await cluster.client();
  const before = await client.locate('api', 80);
  const older = await first;
  const epoch = before.location.epoch + 1;
  const secret = cluster.access(hostIdentity('api', epoch)).secret.toString('base64');
  const newer = await cluster.supervise({ ...older.invocation, epoch, secret });
  expect(await older.stopped).toBe(true);
  newer.listen(80);
  expect((await client.locate('api', 80)).location.epoch).toBe(epoch);
  // The older one's function has returned by now or does so: that must not touch the newer one.
  await cluster.event('api', 'running', (e) => e.detail.epoch === epoch);
  expect(newer.session.connected).toBe(true);
});

test('going down: hosts are told to stop, and their ends are waited for', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  let returned = false;
  cluster.host('api', async (invocation) => {
    const result = await cluster.serves(80)(invocation);
    await new Promise((resolve) => setTimeout(resolve, 100));
    returned = true;
    return result;
  });
  const reasons: string[] = [];
  const client = await cluster.client({ onStop: (reason) => reasons.push(reason) });
  await client.locate('api', 80);
  await cluster.seed.stop({ down: true });
  expect(returned).toBe(true);
  expect(reasons).toEqual(['the cluster goes down']);
});
