/** A cluster's limits in a manifest: defaults, values, and what is refused. */
import { CLUSTER_LIMITS, ManifestError, type ManifestLimits, parseManifest } from '../../../src/contract/manifest';
import { LIMIT_DEFAULTS } from '../../support/defaults';

const parse = (limits?: unknown) =>
  parseManifest({ version: 1, cluster: { name: 'shop', limits }, hosts: [] }).cluster.limits;
const problems = (limits: unknown) => {
  try {
    parse(limits);
  } catch (error) {
    if (error instanceof ManifestError) return error.problems;
    throw error;
  }
  return [];
};
const names = Object.keys(CLUSTER_LIMITS) as Array<keyof ManifestLimits>;

test('defaults', () => {
  expect(LIMIT_DEFAULTS).toEqual({
    maxAllocationsPerMinute: 2_000,
    maxAllocationsPerMinutePerMember: 500,
    maxRunningHosts: 1_000,
  });
  expect(parse()).toEqual(LIMIT_DEFAULTS);
  expect(parse({})).toEqual(LIMIT_DEFAULTS);
});

test.each(names)('%s: the least, the most, and the others’ defaults', (name) => {
  for (const value of [1, CLUSTER_LIMITS[name].high])
    expect(parse({ [name]: value })).toEqual({ ...LIMIT_DEFAULTS, [name]: value });
});

test.each(names)('%s: what it cannot be', (name) => {
  const what = name === 'maxRunningHosts' ? 'hosts' : 'hosts a minute';
  for (const value of [0, -1, 1.5, CLUSTER_LIMITS[name].high + 1, '5', true, null, [], {}]) {
    expect(problems({ [name]: value })).toEqual([
      `cluster.limits.${name}: is ${JSON.stringify(value)}; allowed: a whole number of ${what} from 1 to 100000`,
    ]);
  }
});

test('limits that are none, and one that does not exist', () => {
  expect(problems(5)).toEqual(['cluster.limits: is 5; allowed: an object']);
  expect(problems({ maxHosts: 5 })).toEqual(['cluster.limits.maxHosts: this field is unknown']);
});
