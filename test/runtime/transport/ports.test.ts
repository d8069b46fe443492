/** Which ports are punched from, and how many connections are kept ready. */
import { poolMost } from '../../../src/runtime/transport/pool/pool-most';
import { pairedSequence, portSequence, portsFor, quietPorts } from '../../../src/runtime/transport/punched/ports';

test('a sequence stays in its range and uses all of it', () => {
  const next = portSequence([100, 7]);
  expect(Array.from({ length: 7 }, next).sort()).toEqual([100, 101, 102, 103, 104, 105, 106]);
});

test('two sequences of one length make every pair before one comes again', () => {
  const [ours, theirs] = [portSequence([100, 32]), pairedSequence([200, 32])];
  const pairs = new Set(Array.from({ length: 32 * 32 }, () => `${ours()}:${theirs()}`));
  expect(pairs.size).toBe(32 * 32);
});

test('whoever agrees on a connection, and at whichever side, has ports of its own', () => {
  const parts = (['punch', 'signalling'] as const).flatMap((by) =>
    (['calls', 'called'] as const).map((side) => portsFor([20_000, 704], by, side)),
  );
  expect(parts).toEqual([
    [20_000, 175],
    [20_175, 175],
    [20_350, 175],
    [20_525, 175],
  ]);
  // From what is left nothing is ever sent.
  expect(quietPorts([20_000, 704])).toEqual([20_700, 20_701, 20_702, 20_703]);
});

test('how many are kept ready is said in the environment', () => {
  expect(poolMost({})).toBe(256);
  expect(poolMost({ IMAGINARY_POOL_MOST: '' })).toBe(256);
  expect(poolMost({ IMAGINARY_POOL_MOST: '0' })).toBe(0);
  expect(poolMost({ IMAGINARY_POOL_MOST: '512' })).toBe(512);
});

test.each(['513', '-1', '1.5', 'many'])('%p is refused', (text) => {
  expect(() => poolMost({ IMAGINARY_POOL_MOST: text })).toThrow(
    `IMAGINARY_POOL_MOST is '${text}'. It must be a whole number from 0 (none is kept ready) to 512.`,
  );
});
