/**
 * A zombie: the sandbox of a host is cut off from the seed and everybody else, goes on running, and comes back after
 * another one has become the host.
 */
import { attempt } from '../../support/attempt';
import { bootCluster, type TestCluster } from '../../support/cluster';
import { eventually } from '../../support/eventually';
import { guestFiles, python } from '../../support/guests';
import { openLine } from '../../support/line';
import { networkOf } from '../../support/network';
import { beginning } from '../../support/processes';

/** In the command line of each guest. */
const MARK = `guest-of-${process.pid}`;
const command = [python, 'who.py', '7000', MARK];
const guests = () => beginning(command.join(' '));

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await bootCluster([{ name: 'who', command }], {
    name: 'zombie',
    files: guestFiles('who.py', 'hold.py'),
    upArguments: ['--network', 'nat'],
  });
});
afterAll(() => cluster?.dispose());

test('it never answers again: not on the connections that it had, not on new ones; and it is ended', async () => {
  const held = await openLine(cluster, 'who', '7000');
  expect(await held.say('who')).toMatch(/^\d+ 1$/);
  const [zombie] = guests();
  const { epoch } = await cluster.host('who');
  const { faults } = networkOf(cluster.state);
  await faults.cut(true, 'who');

  // What somebody says to it is lost; what somebody connects to is the next one, once the seed has given it up.
  const unanswered = held.say('are you there?');
  const { detail } = await cluster.waitFor((e) => e.host === 'who' && e.event === 'failed', 40_000);
  expect(detail.reason).toMatch(/^its supervisor has not been heard of for 10000 ms$/);
  expect(await attempt(cluster, 'who')).toMatchObject({ outcome: 'ok' });
  expect(guests()).toHaveLength(2);
  // The end of its epoch is known: nobody waits for the zombie any longer.
  expect(await unanswered).toMatch(/ConnectionResetError|BrokenPipeError/);

  await faults.cut(false, 'who');
  await eventually(() => !guests().includes(zombie), 30_000);
  const { say } = await openLine(cluster, 'who', '7000');
  expect(await say('who')).toMatch(/^\d+ 2$/); // `attempt` was the first
  const now = await cluster.host('who');
  expect(now).toMatchObject({ state: 'running', allocations: 2 });
  expect(now.epoch).toBeGreaterThan(epoch!);
  expect(await cluster.logs('who')).toMatch(/stopping: .*epoch \d+ of 'who'/);
});
