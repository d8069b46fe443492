import fc from 'fast-check';
import { type Candidate, type ChoiceTerms, chooseHost, WHY, type Why } from '../../../src/runtime/services/choice';

const idle: Candidate = {
  ...{ name: 'a', instance: false, state: 'imagined', connections: 0, cpu: 0 },
  ...{ draining: false, avoided: false },
};
const states = ['imagined', 'allocating', 'running', 'suspended', 'failed'] as const;
const candidate: fc.Arbitrary<Omit<Candidate, 'name'>> = fc.record({
  instance: fc.boolean(),
  state: fc.constantFrom(...states),
  connections: fc.nat(5),
  cpu: fc.nat(200),
  draining: fc.boolean(),
  avoided: fc.boolean(),
});
const candidates = fc
  .array(candidate, { minLength: 1, maxLength: 6 })
  .map((list) => list.map((one, i): Candidate => ({ ...one, name: `host-${i}` })));
const terms: fc.Arbitrary<ChoiceTerms> = fc.record({
  maxConnections: fc.integer({ min: 1, max: 5 }),
  maxCpu: fc.option(fc.integer({ min: 1, max: 200 }), { nil: undefined }),
});
const cases = [candidates, terms, fc.nat(1_000)] as const;

const hasRoom = ({ connections, cpu }: Candidate, { maxConnections, maxCpu = Infinity }: ChoiceTerms) =>
  connections < maxConnections && cpu <= maxCpu;
const serves = ({ state, avoided }: Candidate) => state === 'running' && !avoided;

/** What was chosen of what, checked whatever they are. */
function holds(check: (chosen: Candidate, all: readonly Candidate[], why: Why, of: ChoiceTerms) => boolean): void {
  const property = fc.property(...cases, (all, of, turn) => {
    const choice = chooseHost(all, of, turn)!;
    return check(all.find(({ name }) => name === choice.name)!, all, choice.why, of);
  });
  fc.assert(property, { numRuns: 3_000 });
}

test('there is always a choice while there is a host, and none without', () => {
  fc.assert(fc.property(...cases, (all, of, turn) => chooseHost(all, of, turn) !== undefined));
  expect(chooseHost([], { maxConnections: 1 }, 0)).toBeUndefined();
});

test('an instance that serves and has room comes before every function', () => {
  holds(
    (chosen, all, _why, of) => chosen.instance || !all.some((one) => one.instance && serves(one) && hasRoom(one, of)),
  );
});

test('nothing is imagined while a host that serves has room, and a full one is chosen only if nothing can be imagined', () => {
  holds((chosen, all, why, of) => {
    const room = all.some((one) => serves(one) && hasRoom(one, of));
    if (chosen.state !== 'running') return !room;
    const more = all.some(
      ({ state, instance, avoided, ...one }) =>
        (state === 'imagined' || state === 'suspended' || state === 'allocating') &&
        !instance &&
        !avoided &&
        hasRoom({ state, instance, avoided, ...one }, of),
    );
    return hasRoom(chosen, of) || why === 'avoided' || !more;
  });
});

test('a host that failed of late is chosen only when none serves and none can be imagined', () => {
  holds((chosen, all) => !chosen.avoided || !all.some(serves));
});

test('of those that serve alike, the one with the fewest connections; a draining one only if all others are full', () => {
  holds((chosen, all, why, of) => {
    if (why !== 'least' && why !== 'instance') return true;
    const like = all.filter((one) => serves(one) && hasRoom(one, of) && one.instance === chosen.instance);
    const open = like.filter(({ draining }) => chosen.instance || !draining);
    return open.includes(chosen) && open.every(({ connections }) => connections >= chosen.connections);
  });
});

test('a sticky one stays with its host, which may be full or asleep, until that fails', () => {
  const other = { ...idle, name: 'b', state: 'running' as const };
  const choose = (change: Partial<Candidate>) =>
    chooseHost([other, { ...idle, ...change }], { maxConnections: 1 }, 0, 'a');
  for (const state of ['imagined', 'allocating', 'running', 'suspended'] as const) {
    expect(choose({ state, connections: 9 })).toEqual({ name: 'a', why: 'sticky' });
  }
  expect(choose({ state: 'failed' })).toMatchObject({ name: 'b' });
  expect(choose({ state: 'running', avoided: true })).toMatchObject({ name: 'b' });
});

test('each reason is given, by the case that it is for', () => {
  const running = { ...idle, state: 'running' as const };
  const full = { ...running, name: 'full', connections: 1 };
  const whyOf: Record<Why, readonly Candidate[]> = {
    sticky: [full, { ...full, name: 'last' }],
    instance: [running, { ...running, name: 'vm', instance: true }],
    least: [full, running],
    undrained: [full, { ...running, draining: true }],
    allocating: [full, { ...idle, state: 'allocating' }],
    resumed: [full, idle, { ...idle, name: 'b', state: 'suspended' }],
    imagined: [full, idle],
    full: [full],
    avoided: [{ ...running, avoided: true }],
    last: [{ ...idle, state: 'failed' }],
  };
  for (const why of Object.keys(WHY) as Why[]) {
    expect(chooseHost(whyOf[why], { maxConnections: 1 }, 0, 'last')).toMatchObject({ why });
  }
});

test('CPU above its mark is as good as full', () => {
  const busy = { ...idle, state: 'running' as const, cpu: 91 };
  const other = { ...idle, name: 'b' };
  expect(chooseHost([busy, other], { maxConnections: 9, maxCpu: 90 }, 0)).toEqual({ name: 'b', why: 'imagined' });
  expect(chooseHost([busy, other], { maxConnections: 9 }, 0)).toEqual({ name: 'a', why: 'least' });
});

test('64 connects of 4 members over 4 hosts, each with a view of its own: none has more than one above its share', () => {
  const loads = [0, 0, 0, 0];
  for (let i = 0; i < 64; i++) {
    const all = loads.map((connections, n): Candidate => ({ ...idle, name: `${n}`, state: 'running', connections }));
    loads[Number(chooseHost(all, { maxConnections: 20 }, 7 * (i % 4) + i)!.name)] += 1;
  }
  expect(loads).toEqual([16, 16, 16, 16]);
});
