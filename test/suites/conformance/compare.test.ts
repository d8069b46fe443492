import { differences, type Ended, isKnown, type Outcome, parseOutcomes, tally } from './compare';

const ended = (outcome: Outcome): Ended => ({ outcome, seconds: 0, detail: '' });
const outcomes = (of: Record<string, Outcome>) => new Map(Object.entries(of).map(([id, o]) => [id, ended(o)]));

test('only tests that end differently differ, also those that ran on one side only', () => {
  const native = outcomes({ a: 'ok', b: 'skip', c: 'fail', d: 'ok' });
  const shim = outcomes({ a: 'ok', b: 'ok', c: 'fail', e: 'ok' });
  expect(differences(native, shim).map((d) => [d.test, d.native.outcome, d.shim.outcome])).toEqual([
    ['b', 'skip', 'ok'],
    ['d', 'ok', 'missing'],
    ['e', 'missing', 'ok'],
  ]);
});

test('a known difference is one with both outcomes as they are known', () => {
  const known = [{ test: 'b', native: 'skip', shim: 'ok', reason: 'why' }] as const;
  const difference = { test: 'b', native: ended('skip'), shim: ended('ok') };
  expect(isKnown(difference, known)).toBe(known[0]);
  expect(isKnown({ ...difference, shim: ended('fail') }, known)).toBeUndefined();
  expect(isKnown({ ...difference, test: 'c' }, known)).toBeUndefined();
  const many = [{ ...known[0], test: /^[bc]$/ }];
  expect(isKnown(difference, many)).toBe(many[0]);
  expect(isKnown({ ...difference, test: 'bc' }, many)).toBeUndefined();
});

test('a test that started and did not end took its process with it', () => {
  const line = (entry: object) => `${JSON.stringify(entry)}\n`;
  const text =
    line({ id: 'a', outcome: 'started', seconds: 0, detail: '' }) +
    line({ id: 'a', outcome: 'ok', seconds: 0.1, detail: '' }) +
    line({ id: 'b', outcome: 'started', seconds: 0, detail: '' });
  const parsed = parseOutcomes(text);
  expect([parsed.complete, tally(parsed.outcomes)]).toEqual([false, '1 ok, 1 crash']);
  expect(parseOutcomes(text + line({ end: true })).complete).toBe(true);
});
