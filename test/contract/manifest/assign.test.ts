import {
  AddressCollisionError,
  AddressRangeError,
  assignAddresses,
  formatAddress,
  hostRange,
  parseAddress,
  parseCidr,
} from '../../../src/contract/manifest';

const wide = parseCidr('100.64.0.0/16')!;
const narrow = parseCidr('10.0.0.0/28')!;

/** The error that a call throws. */
const thrown = (call: () => unknown): unknown => {
  try {
    call();
  } catch (error) {
    return error;
  }
  return undefined;
};

test('an address depends on its own name alone: others neither move it nor does their order', () => {
  const names = ['api', 'web', 'db', 'queue'];
  const alone = names.map((name) => assignAddresses(wide, [{ name }]).get(name));
  const together = assignAddresses(wide, names.map((name) => ({ name })).reverse());
  expect(names.map((name) => together.get(name))).toEqual(alone);
});

test('addresses do not change between versions of this library', () => {
  const addresses = assignAddresses(wide, [{ name: 'api' }, { name: 'worker', count: 2 }]);
  expect([...addresses].map(([name, address]) => `${name} ${formatAddress(address)}`)).toMatchInlineSnapshot(`
[
  "api 100.64.144.124",
  "worker-0 100.64.1.136",
  "worker-1 100.64.1.137",
]
`);
});

test('names spread over the block: 200 of them collide about as often as chance has it', () => {
  const { first, last } = hostRange(wide);
  const at = Array.from({ length: 200 }, (_, i) => assignAddresses(wide, [{ name: `host-${i}` }]).get(`host-${i}`)!);
  expect(Math.min(...at)).toBeGreaterThanOrEqual(first);
  expect(Math.max(...at)).toBeLessThanOrEqual(last);
  expect(new Set(at).size).toBeGreaterThanOrEqual(195);
});

test('a group is one run, and growing it moves none of its members', () => {
  const two = assignAddresses(wide, [{ name: 'worker', count: 2 }]);
  const nine = assignAddresses(wide, [{ name: 'worker', count: 9 }]);
  expect(nine.get('worker-0')).toBe(two.get('worker-0'));
  expect(nine.get('worker-1')).toBe(two.get('worker-1'));
  expect(new Set(nine.values()).size).toBe(9);
});

test('a collision names both hosts and an address that is free', () => {
  const pinned = assignAddresses(wide, [{ name: 'api' }]).get('api')!;
  const error = thrown(() => assignAddresses(wide, [{ name: 'api' }, { name: 'other', pinned }]));
  expect(error).toBeInstanceOf(AddressCollisionError);
  const next = formatAddress(pinned + 1);
  expect((error as Error).message).toBe(
    `hosts 'other' and 'api' both map to the virtual address ${formatAddress(pinned)}; ` +
      `give 'api' one of its own: address: '${next}'`,
  );
  // What it suggests works.
  const fixed = assignAddresses(wide, [
    { name: 'api', pinned: parseAddress(next) },
    { name: 'other', pinned },
  ]);
  expect(fixed.get('api')).toBe(pinned + 1);
});

test('a block that is full says so', () => {
  const many = Array.from({ length: 11 }, (_, i) => ({ name: `h${i}` }));
  expect((thrown(() => assignAddresses(narrow, many)) as Error).message).toContain("use a larger 'cidr'");
});

test('a group that is larger than the block says so', () => {
  const error = thrown(() => assignAddresses(narrow, [{ name: 'worker', count: 30 }]));
  expect(error).toBeInstanceOf(AddressRangeError);
  expect((error as Error).message).toBe(
    "the 30 hosts of group 'worker' need more addresses than the 10 that the block has for hosts; use a larger 'cidr'",
  );
});
