/** What a host function returns may have been written by its guests, which share its sandbox. */
import type { InvocationResult } from '../../../src/contract/platform/invocation';
import { bootCluster, type Cluster, failure } from './cluster';

let cluster: Cluster;
afterEach(() => cluster.close());

test.each<[string, object, string]>([
  ['a field more', { outcome: 'exited', surplus: 1 }, 'surplus: this field is unknown'],
  ['an outcome that is none', { outcome: 'gone' }, 'outcome: '],
  ['an exit code that is none', { outcome: 'exited', exitCode: 'x' }, 'exitCode: '],
])('%s is a failure that names it', async (_what, fields, why) => {
  cluster = await bootCluster([{ name: 'api', allocationTimeout: 1_000 }]);
  cluster.host('api', async ({ host, epoch }) => ({ host, epoch, ...fields }) as InvocationResult);
  const { reason } = await failure((await cluster.client()).locate('api', 80));
  expect(reason).toContain('which is no result of a host function');
  expect(reason).toContain(why);
});

test('a reason without end is cut', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  const reason = 'x'.repeat(1_000_000);
  cluster.host('api', async ({ host, epoch }) => ({ host, epoch, outcome: 'exited', exitCode: 1, reason }));
  expect((await failure((await cluster.client()).locate('api', 80))).reason.length).toBeLessThan(2_100);
});
