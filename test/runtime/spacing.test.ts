import { spacing } from '../../src/runtime/spacing';

test('dear looks are seldom, one slow look changes nothing, and neither limit is passed', () => {
  const space = spacing(0.01);
  const waits = [5, 80, 5, 80, 60, 900, 900, 1].map((cost) => space(cost, 1_000, 50_000));
  expect(waits).toEqual([1_000, 1_000, 1_000, 1_000, 6_000, 6_000, 50_000, 1_000]);
});
