import type { FromSeed } from '../../../../src/contract/control/from-seed';
import { hostIdentity } from '../../../../src/contract/control/psk';
import type { Invocation, InvocationResult } from '../../../../src/contract/platform/invocation';
import { fetchStatus, type Located, openControl, openSession } from '../../../../src/runtime/control/index';
import { eventually } from '../../../support/eventually';
import { bootCluster, type Cluster, failure, mapping, type Supervisor } from '../cluster';

let cluster: Cluster;
afterEach(() => cluster.close());

/** A sandbox: what a host's function holds between invocations, and a handle on the supervisor of the current one. */
function sandbox(...ports: number[]) {
  let next: (host: Supervisor) => void = () => undefined;
  let finish: (result: InvocationResult) => void = () => undefined;
  let live = false;
  const box = {
    invocations: [] as Invocation[],
    /** The supervisor of the next invocation that runs. */
    running: new Promise<Supervisor>((resolve) => (next = resolve)),
    finish: (result: InvocationResult | undefined) => result && finish(result),
    recycle: () => (live = false),
    function: async (invocation: Invocation): Promise<InvocationResult> => {
      box.invocations.push(invocation);
      const { host, epoch } = invocation;
      if (invocation.action === 'release') {
        live = false;
        return { host, epoch, outcome: 'released' };
      }
      const done = new Promise<InvocationResult>((resolve) => (finish = resolve));
      const fresh = live ? {} : invocation.fresh;
      const supervisor = await cluster.supervise(
        { ...invocation, ...fresh },
        { ports: live ? ports.map((p) => mapping(p)) : [] },
      );
      if (!live) {
        supervisor.session.report('guest-started');
        supervisor.listen(...ports);
      }
      live = true;
      next(supervisor);
      box.running = new Promise<Supervisor>((resolve) => (next = resolve));
      return done;
    },
  };
  return box;
}

test('idle: suspended; asked for again: resumed with the same epoch; idle for long: released; then a new epoch', async () => {
  cluster = await bootCluster([{ name: 'api', releaseTimeout: 1_000 }]);
  const box = sandbox(80);
  cluster.host('api', box.function);
  const client = await cluster.client();
  let running = box.running;
  const first = await client.locate('api', 80);

  box.finish(await (await running).suspend());
  await cluster.event('api', 'suspended');
  expect(client.told.map((l) => l.state)).toEqual(['suspended']);

  running = box.running;
  const second = await client.locate('api', 80);
  expect(second.location).toEqual(first.location);
  expect((await cluster.event('api', 'resumed')).detail.by).toBe('client-0');
  // Whoever was told that it is suspended is told that it runs again.
  expect(client.told.at(-1)?.state).toBe('running');

  const suspended = performance.now();
  box.finish(await (await running).suspend());
  await cluster.event('api', 'released');
  expect(performance.now() - suspended).toBeGreaterThan(995);

  const third = await client.locate('api', 80);
  expect(client.told.at(-1)?.state).toBe('imagined');
  expect(third.location.epoch).toBeGreaterThan(first.location.epoch);
  expect(box.invocations.map((i) => i.action)).toEqual(['run', 'run', 'release', 'run']);
  expect(box.invocations[1].epoch).toBe(box.invocations[0].epoch);
  expect(box.invocations[2].epoch).toBe(box.invocations[0].epoch);
});

test('suspended and released: operators still see what held the host, and until when', async () => {
  cluster = await bootCluster([{ name: 'api', releaseTimeout: 1_000 }]);
  const box = sandbox(80);
  cluster.host('api', box.function);
  const client = await cluster.client();
  const running = box.running;
  await client.locate('api', 80);
  const supervisor = await running;
  supervisor.session.held('traffic', 'a connection of anna');
  const status = async () => (await fetchStatus(cluster.access('operator'))).hosts[0];
  await eventually(async () => (await status()).heldBy !== undefined);
  const { heldBy, lastHeldBy } = await status();
  expect(heldBy).toMatchObject({ by: 'traffic', what: 'a connection of anna' });
  expect(lastHeldBy).toBeUndefined();

  box.finish(await supervisor.suspend());
  await cluster.event('api', 'suspended');
  const asleep = await status();
  expect(asleep.heldBy).toBeUndefined();
  expect(asleep.lastHeldBy).toEqual({ ...heldBy, until: asleep.since });
  await cluster.event('api', 'released');
  expect((await status()).lastHeldBy).toEqual(asleep.lastHeldBy);
});

test('a new sandbox instead of the suspended one is a new epoch', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  const box = sandbox(80);
  cluster.host('api', box.function);
  const client = await cluster.client();
  const running = box.running;
  const { epoch } = (await client.locate('api', 80)).location;
  box.finish(await (await running).suspend());
  await cluster.event('api', 'suspended');
  box.recycle();
  expect((await client.locate('api', 80)).location.epoch).toBeGreaterThan(epoch);
  expect((await cluster.event('api', 'replaced')).detail.replaced).toBe(epoch);
  expect(cluster.events.some((e) => e.event === 'resumed')).toBe(false);
  expect(cluster.events.filter((e) => e.event === 'running')).toHaveLength(2);
});

test('a host that others wait for is not suspended', async () => {
  cluster = await bootCluster([{ name: 'api', allocationTimeout: 500 }]);
  const box = sandbox(80);
  cluster.host('api', box.function);
  const client = await cluster.client();
  const running = box.running;
  await client.locate('api', 80);
  const waits = failure(client.locate('api', 81));
  const host = await running;
  // Sent after the locate on another connection: give the locate time to arrive by asking for something on the same
  // one.
  await failure(client.locate('nobody', 1));
  expect(await host.session.suspend()).toMatchObject({ ok: false, reason: '1 connections wait for this host' });
  expect((await waits).errno).toBe('ETIMEDOUT');
});

test('a locate during the fence: the suspension is called off, and the locate is answered', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  const box = sandbox(80);
  cluster.host('api', box.function);
  // A subscriber that does not acknowledge: it holds the fence open until its limit.
  const frames: FromSeed[] = [];
  let arrived: () => void = () => undefined;
  const silent = await openControl({
    ...cluster.access('client'),
    onFrame: (frame) => {
      frames.push(frame);
      arrived();
    },
  });
  const frame = async (type: FromSeed['type']) => {
    while (!frames.some((f) => f.type === type)) await new Promise<void>((resolve) => (arrived = resolve));
  };
  const running = box.running;
  silent.send({ type: 'join', ports: [] });
  silent.send({ type: 'locate', id: 1, host: 'api', port: 80 });
  await frame('located');
  const host = await running;
  const reply = host.session.suspend();
  await frame('location');
  const answer = await (await cluster.client()).locate('api', 80);
  expect(answer.location.state).toBe('running');
  expect((await reply).ok).toBe(false);

  // And without a locate: it waits for the acknowledgement that never comes, but not for ever.
  const began = performance.now();
  expect((await host.session.suspend()).ok).toBe(true);
  expect(performance.now() - began).toBeGreaterThan(480);
  expect((await cluster.event('api', 'unacknowledged')).detail.peers).toBe(1);
  silent.destroy();
});

test('a subscriber that disconnects counts as one that acknowledged', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  const box = sandbox(80);
  cluster.host('api', box.function);
  const running = box.running;
  const answered = new Promise<void>((resolve, reject) => {
    openControl({
      ...cluster.access('client'),
      onFrame: (frame) => {
        if (frame.type === 'located') resolve();
        // Instead of an acknowledgement.
        if (frame.type === 'location') control?.destroy();
      },
    }).then((opened) => {
      control = opened;
      opened.send({ type: 'join', ports: [] });
      opened.send({ type: 'locate', id: 1, host: 'api', port: 80 });
    }, reject);
    let control: Awaited<ReturnType<typeof openControl>> | undefined;
  });
  await answered;
  const began = performance.now();
  expect((await (await running).session.suspend()).ok).toBe(true);
  expect(performance.now() - began).toBeLessThan(400);
});

test('a locate after the grant waits: `stay` answers it', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  const box = sandbox(80);
  cluster.host('api', box.function);
  const client = await cluster.client();
  const running = box.running;
  await client.locate('api', 80);
  const host = await running;
  expect((await host.session.suspend()).ok).toBe(true);
  const other = await cluster.client();
  const locate = other.locate('api', 80);
  await failure(other.locate('nobody', 1));
  host.session.stay();
  expect((await locate).location.state).toBe('running');
  expect(client.told.map((l) => l.state)).toEqual(['suspended', 'running']);
});

test('a locate after the grant waits: `leave` makes it resume the host at once', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  const box = sandbox(80);
  cluster.host('api', box.function);
  const client = await cluster.client();
  const running = box.running;
  const first = await client.locate('api', 80);
  const host = await running;
  expect((await host.session.suspend()).ok).toBe(true);
  const locate = client.locate('api', 80);
  await failure(client.locate('nobody', 1));
  await host.session.leave({ outcome: 'suspended' });
  await cluster.event('api', 'resuming');
  // The function has not returned yet: the next invocation comes after that, not on top of it.
  box.finish({ host: 'api', epoch: first.location.epoch, outcome: 'suspended' });
  expect((await locate).location.epoch).toBe(first.location.epoch);
  expect(cluster.lambda.requests.map((r) => r.throttled)).toEqual([false, false]);
});

test('asked for while its guests are being stopped: a new session afterwards', async () => {
  cluster = await bootCluster([{ name: 'api', releaseTimeout: 100 }]);
  const box = sandbox(80);
  let release: () => void = () => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  cluster.host('api', async (invocation) => {
    if (invocation.action === 'release') await held;
    return box.function(invocation);
  });
  const client = await cluster.client();
  const running = box.running;
  const first = await client.locate('api', 80);
  box.finish(await (await running).suspend());
  await cluster.event('api', 'releasing');
  const locate = client.locate('api', 80);
  await failure(client.locate('nobody', 1));
  release();
  expect((await locate).location.epoch).toBeGreaterThan(first.location.epoch);
});

test('a sandbox whose host is being released locates others for its onRelease, and is nobody’s location', async () => {
  cluster = await bootCluster([{ name: 'api', releaseTimeout: 100 }, { name: 'vault' }]);
  const box = sandbox(80);
  const problem = (what: Promise<unknown>) =>
    what.then(
      () => undefined,
      (error: Error) => error.message,
    );
  /** As the sandbox joins for the command: under its host's name and key. */
  const joinBeside = ({ host, epoch, secret, seed }: Invocation, as: object = {}) =>
    openSession({
      ...{ seed, secret, identity: hostIdentity(host, epoch) },
      join: () => ({ host, epoch, asClient: true, ports: [mapping(99)], ...as }),
      onLocation: () => undefined,
      onStop: () => undefined,
    });
  let located: Located | undefined;
  let refused: string | undefined;
  cluster.host('vault', cluster.serves(6379));
  cluster.host('api', async (invocation) => {
    if (invocation.action !== 'release') return box.function(invocation);
    refused = await problem(joinBeside(invocation, { life: 'of-another-sandbox' }));
    const session = await joinBeside(invocation);
    located = await session.locate('vault', 6379);
    // What it listens on concerns nobody.
    session.ports([mapping(99)], true);
    session.close();
    return box.function(invocation);
  });
  const client = await cluster.client();
  const running = box.running;
  const { location } = await client.locate('api', 80);
  const supervisor = await running;
  const notNow = `epoch ${location.epoch} of 'api' is not being released`;
  expect(await problem(joinBeside(supervisor.invocation))).toBe(notNow);
  box.finish(await supervisor.suspend());
  await cluster.event('api', 'released');
  expect(located).toMatchObject({ location: { host: 'vault', state: 'running' } });
  expect(refused).toBe(notNow);
  const events = await cluster.event('vault', 'allocating');
  expect(events.detail).toMatchObject({ by: 'api (client)', port: 6379 });
  // The next epoch is asked for what it listens on, and for nothing of the one before.
  expect((await client.locate('api', 80)).location.epoch).toBeGreaterThan(location.epoch);
});
