/**
 * Out of memory: a sandbox uses more than its function has. The kernel kills the process that uses most of it, on Lambda as
 * here. That is the guest, or the supervisor: then Lambda reports a function error.
 */
import { readPlatform } from '../../../src/local';
import { attempt } from '../../support/attempt';
import { bootCluster, type TestCluster } from '../../support/cluster';
import { guestFiles, python } from '../../support/guests';
import { openLine } from '../../support/line';

const MEMORY = { memorySize: 192 };
const greedy = (...more: string[]) => [python, 'greedy.py', '7000', ...more];

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await bootCluster(
    [
      { name: 'greedy', command: greedy(), ...MEMORY },
      { name: 'too-large', command: greedy('400'), ...MEMORY },
      { name: 'crowd', command: greedy(), ...MEMORY },
    ],
    { name: 'memory', files: guestFiles('greedy.py', 'hold.py') },
  );
});
afterAll(() => cluster?.dispose());

/** Holds where the machine allows it; where it does not, the platform says so, and that is the test. */
const whereLimited = (check: () => Promise<void>) => async () => {
  const { memory, missing } = readPlatform(cluster.state)!.isolation;
  if (memory) await check();
  else expect(missing.join()).toMatch(/memory/);
};
const eventsOf = async (host: string) => (await cluster.events()).filter((e) => e.host === host);
const line = async (host: string) => (await openLine(cluster, host, '7000')).say;

test(
  'a guest that runs: its connections end, operators see why, and the next connect allocates it',
  whereLimited(async () => {
    const say = await line('greedy');
    expect(await say('before')).toBe('before');
    expect(await say('use 400')).toMatch(/^end$|ConnectionResetError/);
    const { detail } = await cluster.waitFor((e) => e.host === 'greedy' && e.event === 'exited');
    expect(detail.reason).toMatch(/out of memory: the kernel has killed it \(the function has 192 MB\)$/);
    expect(await attempt(cluster, 'greedy')).toMatchObject({ outcome: 'ok' });
    expect(await cluster.host('greedy')).toMatchObject({ state: 'running', allocations: 2 });
    // It ran: nobody waits for a back-off.
    expect((await eventsOf('greedy')).map(({ event }) => event)).not.toContain('failed');
  }),
);

test(
  'a guest that has not listened yet: connects are refused, with a back-off; then it is tried again',
  whereLimited(async () => {
    expect(await attempt(cluster, 'too-large')).toMatchObject({ outcome: 'ECONNREFUSED' });
    const failed = await cluster.waitFor((e) => e.host === 'too-large' && e.event === 'failed');
    expect(failed.detail).toMatchObject({ errno: 'ECONNREFUSED', backOffMs: expect.any(Number) });
    expect(failed.detail.reason).toMatch(/out of memory/);
    // During the back-off it is refused at once; after it, once it has been tried.
    let { allocations } = await cluster.host('too-large');
    for (let tries = 0; tries < 20 && allocations < 2; tries++) {
      expect(await attempt(cluster, 'too-large')).toMatchObject({ outcome: 'ECONNREFUSED' });
      ({ allocations } = await cluster.host('too-large'));
    }
    expect(allocations).toBeGreaterThan(1);
  }),
);

test(
  'a supervisor, the largest process of its sandbox: a function error; the next connect allocates the host',
  whereLimited(async () => {
    const say = await line('crowd');
    expect(await say('before')).toBe('before');
    expect(await say('share 400')).toMatch(/^end$|ConnectionResetError/);
    const { detail } = await cluster.waitFor((e) => e.host === 'crowd' && e.event === 'failed');
    expect(detail).toMatchObject({ error: 'Runtime.ExitError', backOffMs: 0 });
    expect(detail.reason).toMatch(/signal: killed/);
    expect(await attempt(cluster, 'crowd')).toMatchObject({ outcome: 'ok' });
    expect(await cluster.host('crowd')).toMatchObject({ state: 'running', allocations: 2 });
  }),
);
