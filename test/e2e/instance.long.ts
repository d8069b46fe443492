/** What else `imaginary join` does with its guest, and what others see of it. */
import { once } from 'node:events';
import type { TestCluster } from '../support/cluster';
import { Instances, is, NETWORKS } from '../support/instances';
import { running, signal } from '../support/processes';

describe.each(NETWORKS)('network %s', (network, more) => {
  let instances: Instances;
  let cluster: TestCluster;
  beforeAll(async () => {
    instances = await Instances.boot(`instances-${network}`, more);
    ({ cluster } = instances);
  });
  afterEach(() => instances?.end());
  afterAll(() => cluster?.dispose());

  test('the command of the manifest, where join was started, with its environment and its exit code', async () => {
    const { code, stdout } = await instances.start('--name', 'job').result;
    expect([code, stdout]).toEqual([7, `in ${process.cwd()}: hello\n`]);
    const failed = await cluster.waitFor(is('job', 'failed'));
    expect(failed.detail).toMatchObject({ errno: 'ECONNREFUSED', reason: 'the guest exited with code 7' });
    expect(await instances.start('--name', 'stubborn').result).toMatchObject({
      code: 125,
      stderr: expect.stringContaining("'stubborn' has no command in the manifest, and none was given\nnext: Give one"),
    });
    const missing = await instances.start('--name', 'stubborn', '--', '/nowhere').result;
    expect(missing).toMatchObject({ code: 127, stderr: expect.stringContaining('/nowhere') });
  });

  test('a guest that ignores SIGTERM is killed after its stopTimeout', async () => {
    const stubborn = instances.start(
      '--name',
      'stubborn',
      '--',
      'sh',
      '-c',
      'trap "" TERM; echo ready; while :; do sleep 3917; done',
    );
    await once(stubborn.stdout!, 'data');
    stubborn.kill('SIGINT');
    expect((await stubborn.result).code).toBe(137);
    expect(running('sleep 3917')).toEqual([]);
  });

  test('an instance that never joins: ETIMEDOUT after its allocationTimeout', async () => {
    const { stderr } = await instances.ask('late', '80');
    expect(stderr).toContain('TimeoutError');
    const refused = await cluster.waitFor(is('late', 'refused'));
    expect(refused.detail.reason).toBe("'late' is a host instance that has not joined; waited 500 ms for port 80");
  });

  test('--wait holds the start until others have joined, starts those that are named, and says who is missing', async () => {
    const other = instances.start('--name', 'stubborn', '--wait', '2', '--', 'sh', '-c', 'echo second; exec sleep 60');
    await cluster.waitFor(is('stubborn', 'joined'));
    const first = instances.start(
      '--name',
      'late',
      '--wait',
      'stubborn,front',
      '--',
      'sh',
      '-c',
      'echo first; exec sleep 60',
    );
    await Promise.all([once(other.stdout!, 'data'), once(first.stdout!, 'data')]);
    expect(await cluster.host('front')).toMatchObject({ state: expect.stringMatching(/running|suspended/) });
    const wait = (what: string) =>
      instances.start('--name', 'db', '--wait-timeout', '1', '--wait', what, '--', 'true').result;
    expect((await wait('front,job,broken')).stderr).toMatch(
      /these hosts have not joined: job( \([^)]*\))?, broken \(.*\/nowhere.*\); within 1 s/,
    );
    expect((await wait('6')).stderr).toMatch(/4 of 6 hosts \(db, stubborn, late, front\) have joined within 1 s/);
    expect((await wait('7')).stderr).toContain('--wait is 7; allowed: up to 6, as the cluster has no more hosts');
    expect((await wait('nobody')).stderr).toContain("--wait names 'nobody', which is no host of the cluster");
    expect(await cluster.host('db')).toMatchObject({ state: 'imagined' });
  });

  test('killed: the host is there no more, and the next one stops what it left', async () => {
    const killed = instances.startAlone('--name', 'stubborn', '--', 'sh', '-c', 'echo ready; exec sleep 3918');
    await once(killed.stdout!, 'data');
    const { epoch } = await cluster.host('stubborn');
    const before = await instances.count('stubborn', 'joined');
    // On network nat the process that is in the slot is another one.
    signal(instances.processes('--name stubborn'), 'SIGKILL');
    // Its guest is there still, with its output.
    if (killed.exitCode === null && killed.signalCode === null) await once(killed, 'exit');
    expect(running('sleep 3918')).toHaveLength(1);
    // Not after the time for that: its connection has ended, so another one takes its place.
    const next = instances.start('--name', 'stubborn', '--', 'sh', '-c', 'echo ready; exec sleep 60');
    await once(next.stdout!, 'data');
    expect(running('sleep 3918')).toEqual([]);
    expect(await instances.count('stubborn', 'joined')).toBe(before + 1);
    expect((await cluster.host('stubborn')).epoch).toBeGreaterThan(epoch!);
  });
});
