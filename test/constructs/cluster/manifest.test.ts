import { parseManifest } from '../../../src/contract/manifest';
import { HOST, manifestOf, newCluster } from '../support';

test('a manifest by hand and one by the constructs have the same addresses and functions for the same names', () => {
  const names = ['web', 'api', 'a', 'redis-1', 'h'.repeat(50), 'x9', 'worker-0', 'db-replica-12'];
  const { stack, cluster } = newCluster({ clusterName: 'shop' });
  for (const name of names) cluster.addHost(name, HOST);
  const byConstructs = manifestOf(stack);
  const byHand = parseManifest({
    version: 1,
    cluster: { name: 'shop' },
    hosts: names.map((name) => ({ name, command: HOST.command })),
  });
  expect(byHand).toEqual(byConstructs);
});
