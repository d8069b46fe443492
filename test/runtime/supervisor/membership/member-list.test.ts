/** What guests are told has changed in the list of members. */
import type { MemberEntry } from '../../../../src/contract/control/membership';
import { MemberList } from '../../../../src/runtime/supervisor/membership/member-list';

type State = MemberEntry['state'];
const entry = (state: State, epoch = 1): MemberEntry => ({ id: 1, name: 'a', address: '100.64.0.1', epoch, state });

/** From each state (and none) to each, in the same epoch and in the next. */
const STATES: ReadonlyArray<State | undefined> = [undefined, 'joined', 'suspended', 'left'];
const EXPECTED: Readonly<Record<string, string>> = {
  'undefined → joined 1': 'joined 1',
  'undefined → suspended 1': 'suspended 1',
  'undefined → left 1': '',
  'joined → joined 1': '',
  'joined → suspended 1': 'suspended 1',
  'joined → left 1': 'left 1',
  'suspended → joined 1': 'resumed 1',
  'suspended → suspended 1': '',
  'suspended → left 1': 'left 1',
  'joined → joined 2': 'left 1, joined 2',
  'joined → suspended 2': 'left 1, suspended 2',
  'joined → left 2': 'left 1',
  'suspended → joined 2': 'left 1, joined 2',
  'suspended → suspended 2': 'left 1, suspended 2',
  'suspended → left 2': 'left 1',
};
const cases = STATES.flatMap((from) =>
  STATES.flatMap((to) => [1, 2].map((epoch) => ({ from, to, epoch, name: `${from} → ${to} ${epoch}` }))),
).filter(({ name }) => name in EXPECTED);

test('each change has its case', () =>
  expect(cases.map(({ name }) => name).sort()).toEqual(Object.keys(EXPECTED).sort()));

const text = (changes: ReturnType<MemberList['apply']>) =>
  changes?.map(({ type, member: { epoch } }) => `${type} ${epoch}`).join(', ');

test.each(cases)('$name', ({ from, to, epoch, name }) => {
  const list = new MemberList();
  list.restart();
  list.apply(from ? [entry(from)] : [], true);
  expect(text(list.apply([entry(to!, epoch)], true))).toBe(EXPECTED[name]);
  // The same when the list comes anew instead.
  const anew = new MemberList();
  anew.restart();
  anew.apply(from ? [entry(from)] : [], true);
  anew.restart();
  expect(text(anew.apply(to === 'left' ? [] : [entry(to!, epoch)], true))).toBe(EXPECTED[name]);
});

test('a list that is not complete is not known, and does not end the one before', () => {
  const list = new MemberList();
  list.restart();
  expect(list.apply([entry('joined')], false)).toBeUndefined();
  expect(list.members).toBeUndefined();
  expect(list.apply([], true)).toEqual([]);
  expect(list.members).toEqual([entry('joined')]);
  list.restart();
  expect(list.apply([], false)).toBeUndefined();
  expect(list.members).toEqual([entry('joined')]);
  expect(text(list.apply([], true))).toBe('left 1');
});
