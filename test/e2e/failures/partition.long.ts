/** A partition: the seed is cut off from all hosts and clients, which reach each other. */
import { createInterface } from 'node:readline';
import { attempt, dialler, parseAttempt } from '../../support/attempt';
import { bootCluster, type TestCluster } from '../../support/cluster';
import { echo } from '../../support/dial';
import { eventually } from '../../support/eventually';
import { guestFiles, python } from '../../support/guests';
import { openLine } from '../../support/line';
import { networkOf } from '../../support/network';

let cluster: TestCluster;
beforeEach(async () => {
  cluster = await bootCluster(
    [
      echo('echo'),
      { name: 'teller', command: [python, 'teller.py', 'echo', '7000'] },
      { ...echo('patient'), allocationTimeout: 120_000 },
      { ...echo('hasty'), allocationTimeout: 3_000 },
    ],
    {
      name: 'partition',
      files: guestFiles('echo.py', 'hold.py', 'teller.py'),
      upArguments: ['--network', 'nat'],
    },
  );
});
afterEach(() => cluster?.dispose());

/** A client that is in the cluster before the cut, and connects when it is told to. */
async function openDialler() {
  const child = cluster.start(dialler());
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  expect((await lines.next()).value).toBe('ready');
  return async (host: string) => {
    child.stdin!.write(`${host} 7000\n`);
    return parseAttempt((await lines.next()).value);
  };
}

test('that ends soon: who is imagined is waited for, and connects that wait long enough go through', async () => {
  const [hasty, patient] = [await openDialler(), await openDialler()];
  const { say } = await openLine(cluster, 'echo', '7000');
  expect(await say('before')).toBe('before');
  const { faults } = networkOf(cluster.state);
  await faults.cut(true, 'seed');
  const connecting = patient('patient');
  const { outcome, seconds } = await hasty('hasty');
  expect(outcome).toBe('ETIMEDOUT');
  expect(seconds).toBeGreaterThan(2.9);
  expect(seconds).toBeLessThan(8);
  expect(await say('during')).toBe('during');
  await faults.cut(false, 'seed');
  expect(await connecting).toMatchObject({ outcome: 'ok' });
  expect(await hasty('hasty')).toMatchObject({ outcome: 'ok' });
});

test('that lasts until the seed has given all up: who runs goes on, and is who it was after it', async () => {
  const { say } = await openLine(cluster, 'teller', '7001');
  expect(await say('before')).toBe('before');
  const [dial, patient] = [await openDialler(), await openDialler()];
  expect(await dial('echo')).toMatchObject({ outcome: 'ok' });
  const before = await Promise.all(['echo', 'teller'].map((host) => cluster.host(host)));
  const { faults } = networkOf(cluster.state);
  await faults.cut(true, 'seed');
  const connecting = patient('patient');
  for (const host of ['echo', 'teller']) {
    await cluster.waitFor((e) => e.host === host && e.event === 'disconnected', 60_000);
    const { detail } = await cluster.waitFor((e) => e.host === host && e.event === 'failed', 60_000);
    expect(detail.reason).toMatch(/^its supervisor has not been heard of for 10000 ms$/);
  }
  // Members do not wait for ever for a seed that they have no connection to.
  expect(await connecting).toMatchObject({ outcome: 'ENETUNREACH' });
  expect(await say('during')).toBe('during');

  await faults.cut(false, 'seed');
  for (const { name, epoch } of before) {
    await cluster.waitFor((e) => e.host === name && e.event === 'joined' && e.detail.adopted === true, 60_000);
    expect(await cluster.host(name)).toMatchObject({ state: 'running', epoch, allocations: 1 });
  }
  expect(await say('after')).toBe('after');
  // The client joins again in its own time, of which the seed reports nothing.
  await eventually(async () => (await dial('echo')).outcome === 'ok', 60_000);
  expect(await attempt(cluster, 'patient')).toMatchObject({ outcome: 'ok' });
});
