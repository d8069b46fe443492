/** The `onRelease` of a suspended host reaches the cluster: it saves to a host that runs, sleeps, or is allocated for it. */

import { attempt } from '../support/attempt';
import { bootCluster, EACH_TRANSPORT, type TestCluster } from '../support/cluster';
import { echo } from '../support/dial';
import { guestFiles, redisServer } from '../support/guests';

const save = ['/bin/sh', '-c', 'redis-cli -h vault SET last words && echo saved'];
let cluster: TestCluster;
afterEach(() => cluster?.dispose());

test.each(EACH_TRANSPORT)('network %s: what it saves elsewhere is there', async (_, upArguments) => {
  cluster = await bootCluster(
    [
      { ...echo('leaves'), idleTimeout: 300, releaseTimeout: 500, onRelease: save },
      { name: 'vault', command: redisServer },
    ],
    { name: 'parting', files: guestFiles('echo.py'), upArguments },
  );
  expect(await attempt(cluster, 'leaves')).toMatchObject({ outcome: 'ok' });
  const { detail } = await cluster.waitFor(
    ({ host, event }) => host === 'leaves' && (event === 'command-done' || event === 'command-failed'),
  );
  expect(detail).toMatchObject({ command: 'onRelease', why: 'released' });
  expect(detail).not.toHaveProperty('reason');
  await cluster.waitFor((e) => e.host === 'leaves' && e.event === 'released');
  // Allocated by the command, and by nobody else.
  const allocating = await cluster.waitFor((e) => e.host === 'vault' && e.event === 'allocating');
  expect(allocating.detail).toMatchObject({ by: 'leaves (client)', port: 6379 });
  const kept = await cluster.exec(['redis-cli', '-h', 'vault', 'GET', 'last']);
  expect(kept).toMatchObject({ code: 0, stdout: 'words\n' });
  expect(await cluster.host('leaves')).toMatchObject({ state: 'imagined', allocations: 1 });
  expect(await cluster.logs('leaves')).toContain('saved');
  // It is a host like any other again.
  expect(await attempt(cluster, 'leaves')).toMatchObject({ outcome: 'ok' });
  expect(await cluster.host('leaves')).toMatchObject({ allocations: 2 });
});
