/** Throttling: the account runs as many invocations as it may, and Lambda answers 429. */
import { attempt } from '../../support/attempt';
import { bootCluster, type TestCluster } from '../../support/cluster';
import { echo } from '../../support/dial';
import { guestFiles } from '../../support/guests';

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await bootCluster(
    [echo('first'), echo('second'), { ...echo('hasty'), allocationTimeout: 3_000 }, echo('patient')],
    { name: 'throttling', files: guestFiles('echo.py'), upArguments: ['--concurrency', '2'] },
  );
  for (const host of ['first', 'second']) expect(await attempt(cluster, host)).toMatchObject({ outcome: 'ok' });
});
afterAll(() => cluster?.dispose());

const throttled = async (host: string) =>
  (await cluster.events()).filter((e) => e.host === host && e.event === 'throttled');

test('a connect waits for its allocationTimeout, and then times out; the seed tries less and less often', async () => {
  const { outcome, seconds } = await attempt(cluster, 'hasty');
  expect(outcome).toBe('ETIMEDOUT');
  expect(seconds).toBeGreaterThan(2.9);
  expect(seconds).toBeLessThan(8);
  const tries = await throttled('hasty');
  expect(tries[0].detail).toMatchObject({ action: 'run', attempt: 1, reason: 'ConcurrentInvocationLimitExceeded' });
  // 50 ms after the first one, and twice as long each time, less up to a half by chance.
  expect(tries.length).toBeGreaterThan(3);
  expect(tries.length).toBeLessThan(10);
  const { detail } = await cluster.waitFor((e) => e.host === 'hasty' && e.event === 'failed');
  expect(detail.reason).toBe('did not join within 3000 ms: its function could not be started (429)');
  expect(detail).not.toHaveProperty('errno');
  expect((await cluster.imaginary(['ps'])).stdout).toContain('(429)');
});

test('a connect goes through as soon as there is room; hosts that run do not notice', async () => {
  const connecting = attempt(cluster, 'patient');
  await cluster.waitFor((e) => e.host === 'patient' && e.event === 'throttled' && e.detail.attempt === 3);
  expect(await attempt(cluster, 'second')).toMatchObject({ outcome: 'ok' });
  expect((await cluster.imaginary(['stop', 'first'])).code).toBe(0);
  expect(await connecting).toMatchObject({ outcome: 'ok' });
  for (const host of ['second', 'patient']) {
    expect(await cluster.host(host)).toMatchObject({ state: 'running', allocations: 1 });
  }
});

test('what was throttled is allocated by the next connect, once there is room', async () => {
  expect((await cluster.imaginary(['stop', 'second'])).code).toBe(0);
  expect(await attempt(cluster, 'hasty')).toMatchObject({ outcome: 'ok' });
});
