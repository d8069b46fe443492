/**
 * What follows from names and may be left out of a manifest. That the constructs say the same is in
 * test/constructs/cluster/manifest.test.ts.
 */
import { formatAddress, hostRange, ManifestError, parseCidr, parseManifest } from '../../../src/contract/manifest';

const parse = (hosts: object[], cluster: object = { name: 'shop' }) =>
  parseManifest({ version: 1, cluster, hosts: hosts.map((host) => ({ command: ['run'], ...host })) });
const problems = (...args: Parameters<typeof parse>) => {
  try {
    parse(...args);
  } catch (error) {
    if (error instanceof ManifestError) return error.problems;
    throw error;
  }
  return [];
};
const addresses = (...names: string[]) =>
  new Map(parse(names.map((name) => ({ name }))).hosts.map(({ name, address }) => [name, address]));

test('address and functionName follow from the name', () => {
  const [api] = parse([{ name: 'api' }]).hosts;
  expect(api).toMatchObject({ address: '100.64.144.124', functionName: 'shop-api' });
  expect(parse([{ ...api }]).hosts).toEqual([api]);
});

test('what is given stays', () => {
  const given = { name: 'api', address: '100.64.1.1', functionName: 'other' };
  expect(parse([given]).hosts[0]).toMatchObject(given);
});

test('an instance has an address, and no function', () => {
  const [vm] = parse([{ name: 'vm', kind: 'instance' }]).hosts;
  expect(vm.address).toBe(addresses('vm').get('vm'));
  expect(vm.functionName).toBeUndefined();
});

test('a further host changes no address', () => {
  const names = Array.from({ length: 40 }, (_, i) => `host${i}`);
  const all = addresses(...names);
  for (const [name, address] of all) expect(addresses(name).get(name)).toBe(address);
  expect(addresses(...[...names].reverse())).toEqual(new Map([...all].reverse()));
});

test('two names with one address: both are named, and an address that is free', () => {
  const api = addresses('api').get('api')!;
  const [problem, ...rest] = problems([{ name: 'api' }, { name: 'other', address: api }]);
  expect(rest).toEqual([]);
  expect(problem).toMatch(
    /^hosts 'other' and 'api' both map to the virtual address 100.*; give 'api' one of its own: address: '(.*)'$/,
  );
  const free = problem.split("'").at(-2)!;
  expect(
    problems([
      { name: 'api', address: free },
      { name: 'other', address: api },
    ]),
  ).toEqual([]);
});

test('a full block says so', () => {
  const small = { name: 'shop', cidr: '100.64.0.0/28' };
  const { first, last } = hostRange(parseCidr(small.cidr)!);
  const taken = Array.from({ length: last - first + 1 }, (_, i) => ({
    name: `h${i}`,
    address: formatAddress(first + i),
  }));
  expect(problems(taken, small)).toEqual([]);
  expect(problems([...taken, { name: 'more' }], small)).toEqual([
    expect.stringContaining("no block of that size is free: use a larger 'cidr'"),
  ]);
});

test('problems are told once: a name taken twice, a chosen address taken twice', () => {
  expect(problems([{ name: 'api' }, { name: 'api' }])).toEqual([
    "hosts.1: the name 'api' is taken by hosts.0 ('api'); every name and alias must be unique",
    'hosts.1.functionName: "shop-api" is the function of hosts.0 (\'api\') too',
  ]);
  const address = '100.64.1.1';
  expect(
    problems([
      { name: 'a', address },
      { name: 'b', address },
    ]),
  ).toEqual(['hosts.1.address: "100.64.1.1" is the address of hosts.0 (\'a\') too']);
});

test('a function name that would be too long', () => {
  const name = 'h'.repeat(60);
  expect(problems([{ name }])).toEqual([
    `hosts.0.functionName: is missing on host '${name}': "shop-${name}", which follows from the names, has 65 characters; allowed: 1-64 letters, digits, hyphens or underscores`,
  ]);
  expect(problems([{ name, functionName: 'short' }])).toEqual([]);
});
