/** Hosts that share a function: what they must have in common, and what is refused. */
import { HOST_LIMITS, ManifestError, parseManifest } from '../../../src/contract/manifest';

const pooled = (name: string, more: object = {}) => ({
  ...{ name, command: ['guest'], functionName: 'shop-worker', pooled: true },
  ...more,
});
const parse = (...hosts: object[]) => parseManifest({ version: 1, cluster: { name: 'shop' }, hosts });
const problems = (...hosts: object[]) => {
  try {
    parse(...hosts);
  } catch (error) {
    if (error instanceof ManifestError) return error.problems;
    throw error;
  }
  return [];
};

test('hosts are not pooled by default', () => {
  expect(parse({ name: 'api', command: ['guest'] }).hosts[0].pooled).toBe(false);
});

test('hosts of one function, beside others', () => {
  const { hosts } = parse(pooled('worker-0'), { name: 'api', command: ['guest'] }, pooled('worker-1'));
  expect(hosts.map(({ name, functionName, pooled: is }) => [name, functionName, is])).toEqual([
    ['worker-0', 'shop-worker', true],
    ['api', 'shop-api', false],
    ['worker-1', 'shop-worker', true],
  ]);
});

test('what a function does not have once may differ', () => {
  const more = {
    command: ['other'],
    idleTimeout: 100,
    environment: { A: 'b' },
    readyWhen: { kind: 'log', pattern: 'x' },
  };
  expect(problems(pooled('a'), pooled('b', more))).toEqual([]);
});

test.each(['memorySize', 'timeout'] as const)('%s is the function’s', (field) => {
  const { low, high } = HOST_LIMITS[field];
  expect(
    problems(pooled('a', { [field]: low }), pooled('b', { [field]: low }), pooled('c', { [field]: high })),
  ).toEqual([
    `hosts.2.${field}: is ${high} on host 'c', and ${low} on hosts.0 ('a'); allowed: the same, as both are in function "shop-worker"`,
  ]);
});

test.each([
  [true, false],
  [false, true],
])('a function of a pooled host and of another one (%s, %s)', (first, second) => {
  expect(problems(pooled('a', { pooled: first }), pooled('b', { pooled: second }))).toEqual([
    `hosts.1.functionName: "shop-worker" is the function of hosts.0 ('a') too; allowed: 'pooled' on both`,
  ]);
});

test('what cannot be pooled', () => {
  expect(problems(pooled('a', { functionName: undefined }))).toEqual([
    "hosts.0.functionName: is missing on host 'a'; required with 'pooled': the function that it shares",
  ]);
  expect(problems({ name: 'vm', kind: 'instance', pooled: true })).toEqual([
    "hosts.0.pooled: is true on host 'vm'; allowed: only for kind 'function', as an instance has none",
  ]);
  for (const value of ['yes', 1, null, {}]) {
    const is = `hosts.0.pooled: is ${JSON.stringify(value)} on host 'a'; allowed: true or false`;
    expect(problems(pooled('a', { pooled: value }))).toEqual([is]);
  }
});
