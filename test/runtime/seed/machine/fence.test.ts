/**
 * Functions without reserved concurrency: the platform may run several sandboxes of one host at once, repeat an
 * invocation, and wake whichever sandbox it likes. Nothing is answered with 429 here. In
 * test/runtime/supervisor/run/fence.test.ts the same with real supervisors.
 */

import { hostIdentity } from '../../../../src/contract/control/psk';
import type { Invocation, InvocationResult } from '../../../../src/contract/platform/invocation';
import { type Invoke, lambdaInvoker } from '../../../../src/runtime/seed/allocator/lambda';
import { bootCluster, type Cluster, type Supervisor } from '../cluster';

let cluster: Cluster;
afterEach(() => cluster.close());

const boot = (options: Parameters<typeof bootCluster>[1] = {}, entry = {}) =>
  bootCluster([{ name: 'api', ...entry }], options, { reserved: false });

/**
 * The SDK does not know errors of Jest's outer realm as such, and wraps them without their code; outside of Jest a
 * request that ends without an answer is ECONNRESET.
 */
const invoke: Invoke = async (...request) => {
  const outcome = await (await lambdaInvoker({ region: 'us-east-1', endpoint: cluster.lambda.endpoint }))(...request);
  const reset = outcome.kind === 'broken' && outcome.message.includes('socket hang up');
  return reset ? { ...outcome, code: 'ECONNRESET' } : outcome;
};

/** A promise that is settled from outside. */
function later<T = void>() {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((done) => (resolve = done));
  return { promise, resolve };
}
const result = ({ host, epoch }: Invocation, outcome: InvocationResult['outcome']): InvocationResult => ({
  host,
  epoch,
  outcome,
});
const fenced = { code: 'fenced', message: expect.stringContaining('belongs to another sandbox') };
/** What a sandbox does that does not hold the epoch which it is to go on with. */
const asFresh = (invocation: Invocation): Invocation => ({ ...invocation, ...invocation.fresh, fresh: undefined });
/** What a real supervisor does that is fenced when it joins. */
const orFenced = (invocation: Invocation, life: string) =>
  cluster.supervise(invocation, { life }).catch((error) => {
    expect(error).toMatchObject({ code: 'fenced' });
    return undefined;
  });

test('two sandboxes with one epoch: the first that joins has it, however often the other one tries', async () => {
  cluster = await boot();
  const first = later<Supervisor>();
  cluster.host('api', async (invocation) => {
    const host = await cluster.supervise(invocation, { life: 'one' });
    first.resolve(host);
    host.listen(80);
    await host.stopped;
    return result(invocation, 'fenced');
  });
  const client = await cluster.client();
  const before = await client.locate('api', 80);
  const { invocation, session } = await first.promise;
  for (let i = 0; i < 2; i++) {
    await expect(cluster.supervise(invocation, { life: 'two' })).rejects.toMatchObject(fenced);
  }
  expect(session.connected).toBe(true);
  expect((await client.locate('api', 80)).location).toEqual(before.location);
  expect(client.told).toEqual([]);
});

test('while the connection of the first is lost, the other one does not get its epoch; the first comes back', async () => {
  cluster = await boot({ lostAfter: 20_000 });
  const first = later<Supervisor>();
  cluster.host('api', async (invocation) => {
    const host = await cluster.supervise(invocation, { life: 'one' });
    host.listen(80);
    first.resolve(host);
    return new Promise(() => undefined);
  });
  const client = await cluster.client();
  const before = await client.locate('api', 80);
  const { invocation, session } = await first.promise;
  session.close();
  await cluster.event('api', 'disconnected');
  await expect(cluster.supervise(invocation, { life: 'two' })).rejects.toMatchObject(fenced);
  (await cluster.supervise(invocation, { life: 'one' })).listen(80);
  await cluster.event('api', 'rejoined');
  expect((await client.locate('api', 80)).location).toEqual(before.location);
});

test('a request over a dead connection is repeated: the second sandbox is fenced, and its answer is not the end of the first', async () => {
  cluster = await boot({ invoke: Promise.resolve(invoke) });
  let calls = 0;
  const started = later();
  const answered = later();
  cluster.host('api', async (invocation) => {
    calls += 1;
    if (calls === 1) {
      cluster.lambda.dropConnections();
      const host = await cluster.supervise(invocation, { life: 'one' });
      host.listen(80);
      started.resolve();
      await host.stopped;
      return result(invocation, 'released');
    }
    await started.promise;
    const second = await orFenced(invocation, 'two');
    expect(second).toBeUndefined();
    answered.resolve();
    return result(invocation, 'fenced');
  });
  const client = await cluster.client();
  const before = await client.locate('api', 80);
  await answered.promise;
  await cluster.event('api', 'lifeline-lost');
  expect(calls).toBe(2);
  expect((await client.locate('api', 80)).location).toEqual(before.location);
  expect(cluster.events.filter(({ event }) => event === 'failed')).toEqual([]);
});

test.each([true, false])(
  'the second sandbox of a repeated request crashes (%s: after it has joined)',
  async (joins) => {
    cluster = await boot({ invoke: Promise.resolve(invoke) });
    let calls = 0;
    const started = later();
    cluster.host('api', async (invocation) => {
      calls += 1;
      if (calls === 1) {
        cluster.lambda.dropConnections();
        const host = await cluster.supervise(invocation, { life: 'one' });
        host.listen(80);
        started.resolve();
        await host.stopped;
        return result(invocation, 'released');
      }
      await started.promise;
      if (joins) await orFenced(invocation, 'two');
      throw new Error('the second one crashed');
    });
    const client = await cluster.client();
    const before = await client.locate('api', 80);
    await cluster.event('api', 'lifeline-lost');
    expect((await client.locate('api', 80)).location).toEqual(before.location);
  },
);

test('resumed into a new sandbox: a new epoch; the old sandbox is fenced, and whoever waits is answered', async () => {
  cluster = await boot({}, { releaseTimeout: 60_000 });
  const suspendNow = later();
  cluster.host('api', async (invocation) => {
    const host = await cluster.supervise(invocation, { life: 'old' });
    host.listen(80);
    await suspendNow.promise;
    return (await host.suspend())!;
  });
  const client = await cluster.client();
  const first = await client.locate('api', 80);
  suspendNow.resolve();
  await cluster.event('api', 'suspended');
  cluster.host('api', async (invocation) => {
    const host = await cluster.supervise(asFresh(invocation), { life: 'new' });
    host.listen(80);
    await host.stopped;
    return result(invocation, 'released');
  });
  const second = await client.locate('api', 80);
  expect(second.location.epoch).toBeGreaterThan(first.location.epoch);
  const { detail } = await cluster.event('api', 'replaced');
  expect(detail).toMatchObject({ epoch: second.location.epoch, replaced: first.location.epoch });
  expect(client.told.map(({ state }) => state)).toEqual(['suspended', 'allocating']);
  const { invocation } = cluster.lambda.requests[0];
  await expect(cluster.supervise(invocation, { life: 'old' })).rejects.toMatchObject({ code: 'fenced' });
});

test('renewed into a new sandbox: a new epoch; the old one is fenced, and others are told that it ended', async () => {
  cluster = await boot();
  const renew = later();
  cluster.host('api', async (invocation) => {
    const renewed = invocation.fresh !== undefined;
    const host = await cluster.supervise(asFresh(invocation), { life: renewed ? 'two' : 'one' });
    host.listen(80);
    if (!renewed) {
      await renew.promise;
      await host.session.leave({ outcome: 'renew' });
      return result(invocation, 'renew');
    }
    await host.stopped;
    return result(invocation, 'released');
  });
  const client = await cluster.client();
  const before = await client.locate('api', 80);
  renew.resolve();
  await cluster.event('api', 'replaced');
  const after = await client.locate('api', 80);
  expect(after.location.epoch).toBeGreaterThan(before.location.epoch);
  expect(client.told.map(({ state }) => state)).toEqual(['allocating']);
  const { invocation } = cluster.lambda.requests[0];
  await expect(cluster.supervise(invocation, { life: 'one' })).rejects.toMatchObject({ code: 'fenced' });
});

test.each(['suspended', 'renew'] as const)(
  'a seed that has not made the invocation waits until it has returned (%s): the same sandbox is free again',
  async (outcome) => {
    cluster = await boot();
    const due = later();
    let busy = 0;
    let most = 0;
    cluster.host('api', async (invocation) => {
      busy += 1;
      most = Math.max(most, busy);
      const host = await cluster.supervise(invocation, { life: 'one' });
      host.listen(80);
      await Promise.race([due.promise, host.stopped]);
      if (outcome === 'suspended') await host.session.suspend();
      await host.session.leave({ outcome });
      // What a runtime takes to send the answer.
      await new Promise((resolve) => setTimeout(resolve, 100));
      busy -= 1;
      return result(invocation, outcome);
    });
    const client = await cluster.client();
    await client.locate('api', 80);
    await cluster.restartSeed({ grace: 200 });
    await client.locate('api', 80);
    due.resolve();
    await cluster.event('api', outcome === 'renew' ? 'renewing' : 'suspended');
    const asked = later<number>();
    const serves = cluster.serves(80);
    cluster.host('api', (invocation) => {
      asked.resolve(busy);
      return serves(invocation);
    });
    await client.locate('api', 80);
    expect(await asked.promise).toBe(0);
  },
);

test('slower than its deadline: it is taken when it joins, and the allocation after it is given up', async () => {
  cluster = await boot({}, { allocationTimeout: 200 });
  const started: Array<{ invocation: Invocation; join: () => void; end: Promise<InvocationResult> }> = [];
  cluster.host('api', (invocation) => {
    const go = later();
    const end = go.promise.then(async () => {
      const host = await orFenced(invocation, String(invocation.epoch));
      if (!host) return result(invocation, 'fenced');
      host.listen(80);
      await host.stopped;
      return result(invocation, 'released');
    });
    started.push({ invocation, join: go.resolve, end });
    return end;
  });
  const client = await cluster.client();
  await client.locate('api', 80).catch(() => undefined);
  const { detail } = await cluster.event('api', 'failed');
  const second = client.locate('api', 80).catch(() => undefined);
  await cluster.event('api', 'allocating', (e) => Number(e.detail.epoch) > Number(detail.epoch));
  started[0].join();
  await second;
  expect((await client.locate('api', 80)).location.epoch).toBe(started[0].invocation.epoch);
  // The second invocation is on its way or comes, 2 s after the first; its sandbox may not end what works.
  const { epoch } = started[0].invocation;
  const late = Number(cluster.events.filter((e) => e.event === 'allocating').at(-1)!.detail.epoch);
  expect(late).toBeGreaterThan(epoch);
  const secret = cluster.access(hostIdentity('api', late)).secret.toString('base64');
  await expect(
    cluster.supervise({ ...started[0].invocation, epoch: late, secret }, { life: 'late' }),
  ).rejects.toMatchObject({
    code: 'fenced',
  });
  expect((await client.locate('api', 80)).location.epoch).toBe(epoch);
});
