/** The budgets themselves, by a clock of the test's. What they do to members is in limits.test.ts. */
import type { ManifestLimits } from '../../../../src/contract/manifest';
import { Limits } from '../../../../src/runtime/seed/allocator/limits';
import { LIMIT_DEFAULTS } from '../../../support/defaults';

let now = 0;
beforeEach(() => {
  now = 1_000_000;
});
const budget = (some: Partial<ManifestLimits>) => new Limits({ ...LIMIT_DEFAULTS, ...some }, () => now);
/** How many of so many starts are allowed. */
const starts = (of: Limits, member: string, tries: number, running = 0) =>
  Array.from({ length: tries }, () => of.take(member, running)).filter((excess) => excess === undefined).length;

test('a member starts its number at once, and others have theirs', () => {
  const of = budget({ maxAllocationsPerMinutePerMember: 6 });
  expect(starts(of, 'a', 20)).toBe(6);
  expect(starts(of, 'b', 20)).toBe(6);
  expect(of.take('a', 0)).toEqual({
    limit: 'maxAllocationsPerMinutePerMember',
    allowed: 6,
    reason:
      "'a' may start 6 hosts a minute (maxAllocationsPerMinutePerMember); the next in 10 s, or raise maxAllocationsPerMinutePerMember",
  });
});

test('a budget comes back evenly, and never to more than it was', () => {
  const of = budget({ maxAllocationsPerMinutePerMember: 6 });
  expect(starts(of, 'a', 20)).toBe(6);
  now += 9_999;
  expect(starts(of, 'a', 20)).toBe(0);
  now += 1;
  expect(starts(of, 'a', 20)).toBe(1);
  now += 30_000;
  expect(starts(of, 'a', 20)).toBe(3);
  now += 3_600_000;
  expect(starts(of, 'a', 20)).toBe(6);
});

test('no two minutes in a row have more than three times the number', () => {
  const of = budget({ maxAllocationsPerMinutePerMember: 10 });
  let allowed = 0;
  for (let ms = 0; ms <= 120_000; ms += 50, now += 50) allowed += starts(of, 'a', 1);
  expect(allowed).toBe(30);
});

test('the cluster’s number is for all members together, and refuses no member for longer than it is used up', () => {
  const of = budget({ maxAllocationsPerMinute: 6, maxAllocationsPerMinutePerMember: 4 });
  expect([starts(of, 'a', 9), starts(of, 'b', 9), starts(of, 'c', 9)]).toEqual([4, 2, 0]);
  expect(of.take('c', 0)).toEqual({
    limit: 'maxAllocationsPerMinute',
    allowed: 6,
    reason:
      'the cluster may start 6 hosts a minute (maxAllocationsPerMinute); the next in 10 s, or raise maxAllocationsPerMinute',
  });
  now += 10_000;
  // What was refused cost nobody anything.
  expect(starts(of, 'c', 9)).toBe(1);
});

test('so many run', () => {
  const of = budget({ maxRunningHosts: 3 });
  expect([starts(of, 'a', 1, 2), starts(of, 'a', 1, 3), starts(of, 'a', 1, 4), starts(of, 'a', 1, 2)]).toEqual([
    1, 0, 0, 1,
  ]);
  expect(of.take('a', 3)).toEqual({
    limit: 'maxRunningHosts',
    allowed: 3,
    reason: '3 hosts run, and 3 may (maxRunningHosts); wait until one is suspended, or raise maxRunningHosts',
  });
});

test('what does not start for one limit is not counted by the others', () => {
  const of = budget({ maxAllocationsPerMinute: 5, maxAllocationsPerMinutePerMember: 3, maxRunningHosts: 1 });
  expect(starts(of, 'a', 100, 1)).toBe(0);
  expect(starts(of, 'a', 100)).toBe(3);
  expect(starts(of, 'b', 100)).toBe(2);
});

test('refusals are reported once a second for each member, with all since', () => {
  const of = budget({});
  expect(of.refused('a', 2)).toBe(2);
  for (let i = 0; i < 999; i++, now++) expect(of.refused('a', 1)).toBeUndefined();
  expect(of.refused('b', 1)).toBe(1);
  now++;
  expect(of.refused('a', 1)).toBe(1_000);
});

test('100,000 members within an hour leave no trace, and one that has used its budget up has not got it back by that', () => {
  const of = budget({ maxAllocationsPerMinutePerMember: 2, maxAllocationsPerMinute: 100_000 });
  const sizes: number[] = [];
  const set = jest.spyOn(Map.prototype, 'set').mockImplementation(function (this: Map<unknown, unknown>, key, value) {
    const result = Reflect.apply(original, this, [key, value]);
    if (typeof key === 'string' && /^(client-|greedy)/.test(key)) sizes.push(this.size);
    return result;
  });
  try {
    for (let i = 0; i < 100_000; i++, now += 36) {
      of.take(`client-${i}`, 0);
      of.refused(`client-${i}`, 1);
      if (i % 10 === 0) of.take('greedy', 0);
    }
  } finally {
    set.mockRestore();
  }
  // 1,667 are new in a minute.
  expect(Math.max(...sizes.slice(-10_000))).toBeLessThan(4 * 1_667);
  expect(starts(of, 'greedy', 2)).toBeLessThan(2);
});
const original = Map.prototype.set;
