import type { HostFunction } from '../allocator/lambda-api';
import { bootCluster, type Cluster, failure } from '../cluster';

let cluster: Cluster;
afterEach(() => cluster.close());

const serves = (...ports: number[]) => cluster.serves(...ports);

test('200 concurrent locates of 20 clients invoke a host once, and all are answered', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  cluster.host('api', serves(80));
  const clients = await Promise.all(Array.from({ length: 20 }, () => cluster.client()));
  const locates = clients.flatMap((client) => Array.from({ length: 10 }, () => client.locate('api', 80)));
  const answers = await Promise.all(locates);
  expect(cluster.lambda.requests).toHaveLength(1);
  expect(new Set(answers.map((a) => `${a.location.nat?.reflexiveAddress}:${a.realPort} ${a.location.state}`))).toEqual(
    new Set(['127.0.0.1:40080 running']),
  );
  const names = cluster.events.filter((e) => e.host === 'api').map((e) => e.event);
  expect(names.slice(0, 6)).toEqual(['allocating', 'invoked', 'joined', 'guest-started', 'listening', 'running']);
  const { detail } = await cluster.event('api', 'running');
  expect(detail).toMatchObject({ by: 'client-0', port: 80 });
  expect(detail.allocateMs).toBeGreaterThan(0);
  // Clients have addresses of their own, all different.
  expect(new Set(clients.map((c) => c.welcome.self.address)).size).toBe(20);
});

test('an invocation carries what the function needs, and no trace header', async () => {
  process.env._X_AMZN_TRACE_ID = 'Root=1-5759e988-bd862e3fe1be46a994272793;Lineage=a:16';
  process.env.AWS_LAMBDA_FUNCTION_NAME = 'seed';
  try {
    cluster = await bootCluster([{ name: 'api' }]);
    cluster.host('api', serves(80));
    const client = await cluster.client();
    await client.locate('api', 80);
    const [{ invocation, headers }] = cluster.lambda.requests;
    expect(invocation).toMatchObject({
      version: 1,
      cluster: 'test',
      host: 'api',
      action: 'run',
      seed: cluster.seed.address,
    });
    expect(Math.abs(invocation.epoch - Date.now())).toBeLessThan(60_000);
    expect(headers['x-amzn-trace-id']).toBeUndefined();
    expect(headers['x-amz-invocation-type']).toBe('RequestResponse');
  } finally {
    delete process.env._X_AMZN_TRACE_ID;
    delete process.env.AWS_LAMBDA_FUNCTION_NAME;
  }
});

test('a function that fails is invoked again at once for those that wait, then after a back-off', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  let calls = 0;
  cluster.host('api', async (invocation) => {
    calls += 1;
    if (calls <= 2) throw new RangeError('out of cheese');
    return serves(80)(invocation);
  });
  const client = await cluster.client();
  const { location } = await client.locate('api', 80);
  const failures = cluster.events.filter(({ event }) => event === 'failed').map(({ detail }) => detail);
  expect(failures).toEqual([
    expect.objectContaining({ backOffMs: 0, error: 'RangeError', reason: expect.stringContaining('out of cheese') }),
    expect.objectContaining({ error: 'RangeError' }),
  ]);
  expect(failures[1].backOffMs).toBeGreaterThanOrEqual(375);
  expect(failures[1].backOffMs).toBeLessThanOrEqual(500);
  expect(location.epoch).toBeGreaterThan(Number(failures[1].epoch));
});

test('a function that fails until the deadline: ETIMEDOUT with its error', async () => {
  cluster = await bootCluster([{ name: 'api', allocationTimeout: 1_000 }]);
  cluster.host('api', async () => {
    throw new RangeError('out of cheese');
  });
  const { errno, reason } = await failure((await cluster.client()).locate('api', 80));
  expect(errno).toBe('ETIMEDOUT');
  expect(reason).toMatch(/RangeError: out of cheese.*; waited 1000 ms for port 80/);
});

test('a function that does not exist is denied, and says so', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  const { errno, reason } = await failure((await cluster.client()).locate('api', 80));
  expect(errno).toBe('EHOSTUNREACH');
  expect(reason).toContain('ResourceNotFoundException: Function not found: test-api');
});

/** Invokes the function past the seed. Resolves when the function runs; `ended`, when its invocation ends. */
async function occupy(run: HostFunction): Promise<{ readonly ended: Promise<Response> }> {
  const runs = new Promise<void>((resolve) => {
    cluster.host('api', (invocation) => {
      resolve();
      return run(invocation);
    });
  });
  const url = `${cluster.lambda.endpoint}/2015-03-31/functions/test-api/invocations`;
  const ended = fetch(url, { method: 'POST', body: '{"host":"api","epoch":1}' });
  await runs;
  return { ended };
}

test('429: tries again until the function is free', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  let free: () => void = () => undefined;
  // Somebody else's run of the function: it never joins.
  const busy = await occupy(({ host, epoch }) => {
    cluster.host('api', serves(80));
    return new Promise((resolve) => (free = () => resolve({ host, epoch, outcome: 'fenced' })));
  });
  const client = await cluster.client();
  const locate = client.locate('api', 80);
  const throttled = await cluster.event('api', 'throttled');
  expect(throttled.detail.reason).toBe('ReservedFunctionConcurrentInvocationLimitExceeded');
  free();
  expect((await locate).realPort).toBe(40_080);
  await busy.ended;
  expect((await cluster.event('api', 'running')).detail.epoch).toBe(throttled.detail.epoch);
});

test('429 until the deadline: ETIMEDOUT', async () => {
  // The first answer comes before the deadline, also on a busy machine.
  cluster = await bootCluster([{ name: 'api', allocationTimeout: 2_000 }]);
  const { ended } = await occupy(() => new Promise(() => undefined));
  // The cluster is closed before.
  ended.catch(() => undefined);
  const client = await cluster.client();
  expect((await failure(client.locate('api', 80))).errno).toBe('ETIMEDOUT');
  const failed = await cluster.event('api', 'failed');
  expect(failed.detail.reason).toContain('429');
});

test('a guest that never listens: ETIMEDOUT at the deadline, and the host runs', async () => {
  cluster = await bootCluster([{ name: 'worker', allocationTimeout: 400 }]);
  cluster.host('worker', serves());
  const client = await cluster.client();
  const began = performance.now();
  const { errno, reason } = await failure(client.locate('worker', 80));
  expect(errno).toBe('ETIMEDOUT');
  expect(reason).toContain('port 80');
  expect(performance.now() - began).toBeGreaterThanOrEqual(399);
  expect(performance.now() - began).toBeLessThan(1_500);
  expect((await cluster.event('worker', 'running')).detail.listening).toBe(false);
});

test('a function that never joins: ETIMEDOUT at the deadline', async () => {
  cluster = await bootCluster([{ name: 'api', allocationTimeout: 300 }]);
  cluster.host('api', () => new Promise(() => undefined));
  expect((await failure((await cluster.client()).locate('api', 80))).errno).toBe('ETIMEDOUT');
  await cluster.event('api', 'failed');
});

test('a guest that exits: ECONNREFUSED with the reason', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  cluster.host('api', async (invocation) => (await cluster.supervise(invocation)).exit(127, "no file '/var/task/srv'"));
  const { errno, reason } = await failure((await cluster.client()).locate('api', 80));
  expect(errno).toBe('ECONNREFUSED');
  expect(reason).toBe("the guest could not be started: no file '/var/task/srv'");
  expect((await cluster.event('api', 'exited')).detail).toMatchObject({ exitCode: 127 });
  await cluster.event('api', 'failed');
});

test('a result without a leave counts as much', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  cluster.host('api', async ({ host, epoch }) => ({
    host,
    epoch,
    outcome: 'exited',
    exitCode: null,
    signal: 'SIGSEGV',
  }));
  const { errno, reason } = await failure((await cluster.client()).locate('api', 80));
  expect([errno, reason]).toEqual(['ECONNREFUSED', 'the guest was ended by SIGSEGV']);
});

test('settled: other ports are refused at once, before that they wait', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  let settle: () => void = () => undefined;
  cluster.host('api', async (invocation) => {
    const host = await cluster.supervise(invocation);
    host.listen(80);
    settle = () => host.session.ports([{ port: 80, realPort: 40_080, scope: 'any' }], true);
    await host.stopped;
    return { host: 'api', epoch: invocation.epoch, outcome: 'released' };
  });
  const client = await cluster.client();
  await client.locate('api', 80);
  const early = failure(client.locate('api', 81));
  settle();
  expect(await early).toEqual({
    errno: 'ECONNREFUSED',
    reason: "'api' listens on 80, not on 81, and has opened no further port for 1000 ms (settleTime)",
  });
  expect((await failure(client.locate('api', 82))).errno).toBe('ECONNREFUSED');
});

test('ports on loopback are nobody else’s', async () => {
  cluster = await bootCluster([{ name: 'api', allocationTimeout: 300 }]);
  cluster.host('api', async (invocation) => {
    const host = await cluster.supervise(invocation);
    host.session.ports([{ port: 80, realPort: 40_080, scope: 'loopback' }], false);
    await host.stopped;
    return { host: 'api', epoch: invocation.epoch, outcome: 'released' };
  });
  expect((await failure((await cluster.client()).locate('api', 80))).errno).toBe('ETIMEDOUT');
});

test('renew: the function is invoked again with the same epoch, and locates wait meanwhile', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  let renew: () => void = () => undefined;
  const due = new Promise<void>((resolve) => (renew = resolve));
  cluster.host('api', async (invocation) => {
    const { host: name, epoch } = invocation;
    const host = await cluster.supervise(invocation);
    host.listen(80);
    await due;
    cluster.host('api', async (next) => {
      const again = await cluster.supervise(next, { ports: [{ port: 80, realPort: 40_080, scope: 'any' }] });
      await again.stopped;
      return { host: name, epoch: next.epoch, outcome: 'released' };
    });
    await host.session.leave({ outcome: 'renew' });
    return { host: name, epoch, outcome: 'renew' };
  });
  const client = await cluster.client();
  const first = await client.locate('api', 80);
  renew();
  await cluster.event('api', 'renewing');
  expect((await client.locate('api', 80)).location.epoch).toBe(first.location.epoch);
  await cluster.event('api', 'rejoined');
  expect(cluster.lambda.requests.map((r) => r.invocation.epoch)).toEqual([first.location.epoch, first.location.epoch]);
  expect(cluster.events.filter((e) => e.event === 'allocating')).toHaveLength(1);
});

test('an unknown host: EHOSTUNREACH', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  const client = await cluster.client();
  expect((await failure(client.locate('nobody', 80))).errno).toBe('EHOSTUNREACH');
});
