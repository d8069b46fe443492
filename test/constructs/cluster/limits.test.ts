/** What a cluster may cost: each prop's default, its way into the manifest, and what is refused. */
import { Lazy } from 'aws-cdk-lib';
import { CLUSTER_LIMITS, type ManifestLimits } from '../../../src/contract/manifest';
import { LIMIT_DEFAULTS } from '../../support/defaults';
import { HOST, manifestOf, newCluster } from '../support';

const names = Object.keys(CLUSTER_LIMITS) as Array<keyof ManifestLimits>;
const limitsOf = (props: Partial<ManifestLimits>) => {
  const { stack, cluster } = newCluster(props);
  cluster.addHost('api', HOST);
  return manifestOf(stack).cluster.limits;
};

test('defaults', () => {
  expect(limitsOf({})).toEqual({
    maxAllocationsPerMinute: 2_000,
    maxAllocationsPerMinutePerMember: 500,
    maxRunningHosts: 1_000,
  });
});

test.each(names)('%s: the least and the most', (name) => {
  for (const value of [1, CLUSTER_LIMITS[name].high])
    expect(limitsOf({ [name]: value })).toEqual({ ...LIMIT_DEFAULTS, [name]: value });
});

test.each(names)('%s: what it cannot be', (name) => {
  const what = name === 'maxRunningHosts' ? 'hosts' : 'hosts a minute';
  for (const value of [0, -1, 1.5, CLUSTER_LIMITS[name].high + 1, Number.NaN, Number.POSITIVE_INFINITY]) {
    expect(() => newCluster({ [name]: value })).toThrow(
      `Shop/Cluster: ${name} is ${value}; allowed: a whole number of ${what} from 1 to 100000`,
    );
  }
});

test.each(names)('%s that is known only at deployment', (name) => {
  expect(() => newCluster({ [name]: Lazy.number({ produce: () => 5 }) })).toThrow(
    `Shop/Cluster: ${name} is known only at deployment, but is part of the manifest`,
  );
});

test.each([
  [{}, true],
  [{ prefetch: true }, true],
  [{ prefetch: false }, false],
])('the switch of learning: %j', (props, prefetch) => {
  const { stack, cluster } = newCluster(props);
  cluster.addHost('api', HOST);
  expect(manifestOf(stack).cluster.prefetch).toBe(prefetch);
});

test('edges: declared at synth time, and checked with the whole cluster', () => {
  const { stack, cluster } = newCluster();
  cluster.addHost('web', { ...HOST, connectsTo: ['api'] });
  expect(() => manifestOf(stack)).toThrow(
    'hosts.0.connectsTo.0: is "api" on host \'web\'; allowed: the name of another host',
  );
  const other = newCluster();
  other.cluster.addHost('web', { ...HOST, connectsTo: ['api'] });
  other.cluster.addHost('api', { ...HOST, connectsTo: ['web'] });
  expect(manifestOf(other.stack).hosts.map(({ connectsTo }) => connectsTo)).toEqual([['api'], ['web']]);
});
