/** Traces of real seeds hold what the model proves; and for each property of traces, a machine that violates it is found. */
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Effect } from '../../../../src/runtime/seed/machine/effects';
import type { MachineEvent } from '../../../../src/runtime/seed/machine/events';
import { type Step, step } from '../../../../src/runtime/seed/machine/step';
import { OF_TRACES, RESTS, type ReplayOptions, replay, SAME } from '../../../../src/runtime/seed/model/replay';
import { type TraceLine, TraceWriter } from '../../../../src/runtime/seed/trace';
import { bootCluster, failure } from '../cluster';
import { ANNA, BERT, moment, newHost, OTHER, SUPERVISOR } from '../machine/samples';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'trace-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const found = (lines: Iterable<string>, options?: ReplayOptions) =>
  Object.entries(replay(lines, options).problems).flatMap(([property, problems]) =>
    problems.length > 0 ? [property] : [],
  );

test('two real seeds, and all that their hosts went through', async () => {
  const file = join(folder, 'trace');
  const trace = () => new TraceWriter(file, () => undefined);
  const environment = { PASSWORD: 'of the guest alone' };
  const cluster = await bootCluster([{ name: 'api', environment }, { name: 'web' }], { trace: trace() });
  try {
    cluster.host('api', async (invocation) => {
      const host = await cluster.supervise(invocation);
      host.listen(80);
      if (cluster.lambda.requests.length === 1) return (await host.suspend())!;
      await host.stopped;
      return { host: 'api', epoch: invocation.epoch, outcome: 'released' };
    });
    cluster.host('web', async (invocation) => (await cluster.supervise(invocation)).exit(3));
    const client = await cluster.client();
    await client.locate('api', 80);
    await cluster.event('api', 'suspended');
    await client.locate('api', 80);
    expect(await failure(client.locate('web', 80))).toMatchObject({ errno: 'ECONNREFUSED' });
    await cluster.restartSeed({ trace: trace(), grace: 100 });
    await cluster.event('api', 'joined', ({ detail }) => detail.adopted === true);
    await client.locate('api', 80);
  } finally {
    await cluster.close();
  }
  const text = readFileSync(file, 'utf8');
  const { seeds, steps } = replay(text.split('\n'));
  expect(seeds).toBe(2);
  expect(steps).toBeGreaterThan(20);
  expect(found(text.split('\n'))).toEqual([]);
  // A seed that is killed while it writes, and the one after it.
  const lines = text.trimEnd().split('\n');
  expect(found([...lines, lines[0].slice(0, 9) + lines[0], ...lines.slice(1, 3)])).toEqual([]);
  expect(() => replay([...lines, 'nonsense', lines[0]])).toThrow('no line of a trace: nonsense');

  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(text).not.toContain('PASSWORD');
});

test('a trace that is full ends, and says so', () => {
  const file = join(folder, 'trace');
  const said: string[] = [];
  const trace = new TraceWriter(file, (_, message) => said.push(message), 1_000);
  const event: MachineEvent = { type: 'wake' };
  for (let i = 0; i < 100; i++) trace.write({ type: 'step', host: 'api', event, moment: moment(i), effects: [] });
  expect(said).toEqual(['the trace ends: it has 1000 bytes']);
  expect(statSync(file).size).toBeLessThan(1_100);
  expect(readFileSync(file, 'utf8').trimEnd().split('\n').at(-1)).toBe('{"type":"full"}');
});

/** A machine like ours, but for what `change` makes of each of its steps. */
type Change = (made: Step, event: MachineEvent) => Step;

/** What a seed with that machine writes. */
function record(
  events: ReadonlyArray<readonly [at: number, event: MachineEvent]>,
  machine: typeof step = step,
): string[] {
  let state = newHost();
  const lines: TraceLine[] = [
    { type: 'seed', version: 1, pid: 1, wall: 0 },
    { type: 'host', host: 'api', settings: state.settings, at: 0 },
  ];
  for (const [at, event] of events) {
    const made = machine(state, event, moment(at));
    state = made.state;
    lines.push({ type: 'step', host: 'api', event, moment: moment(at), effects: made.effects });
  }
  return lines.map((line) => JSON.stringify(line));
}

const changed =
  (change: Change): typeof step =>
  (state, event, at) =>
    change(step(state, event, at), event);
const without =
  (which: (effect: Effect) => boolean): Change =>
  (made) => ({
    ...made,
    effects: made.effects.filter((effect) => !which(effect)),
  });

const cause = { by: 'anna', port: 80, since: 0 };
const anna = { type: 'locate', member: ANNA, by: 'anna', id: 1, port: 80, waited: 0 } as const;
const joined = { type: 'join', member: SUPERVISOR, epoch: 1_000, life: 'a', ports: [] } as const;
const listens = {
  type: 'ports',
  member: SUPERVISOR,
  ports: [{ port: 80, realPort: 40_080, scope: 'any' }],
  settled: true,
} as const;
const started = [
  [0, anna],
  [0, { type: 'startGranted', cause }],
  [10, joined],
  [20, listens],
] as const;
const again = { ...joined, member: OTHER };

const VIOLATIONS: Readonly<Record<string, readonly [events: Parameters<typeof record>[0], change?: Change]>> = {
  'at most one sandbox is a host, and one an epoch': [
    [...started, [30, again]],
    without(({ type }) => type === 'destroy'),
  ],
  'the epochs that a client sees grow': [
    [...started, [30, { ...anna, id: 2 }]],
    (made, event) => ({
      ...made,
      effects: made.effects.map((effect) =>
        effect.type === 'answer' && effect.frame.type === 'located' && event.type === 'locate'
          ? { ...effect, frame: { ...effect.frame, location: { ...effect.frame.location, epoch: 1 } } }
          : effect,
      ),
    }),
  ],
  'every connect that waits ends by its deadline': [
    [
      [0, anna],
      [60_000, { type: 'timer', name: `wait ${ANNA}/1` }],
    ],
  ],
  'no connect that waits is forgotten': [
    started.slice(0, 2),
    (made, event) => (event.type === 'startGranted' ? { ...made, state: { ...made.state, waiters: [] } } : made),
  ],
  'timers run exactly while the state says so': [
    started,
    without((effect) => effect.type === 'startTimer' && effect.name === 'deadline'),
  ],
};

test('every property of traces has its violation', () => {
  expect(Object.keys(VIOLATIONS)).toEqual(Object.keys(OF_TRACES));
  expect(found(record([...started, [30, again], [40, { ...anna, member: BERT }]]))).toEqual([]);
});

test.each(Object.entries(VIOLATIONS))('found: %s', (property, [events, change = (made) => made]) => {
  const machine = changed(change);
  expect(found(record(events, machine), { step: machine })).toContain(property);
});

test('found: a second life of an epoch', () => {
  const machine: typeof step = (state, event, at) => {
    const owner = state.owner && event.type === 'join' ? { ...state.owner, life: event.life } : state.owner;
    return step({ ...state, owner }, event, at);
  };
  const lines = record([...started, [30, { ...again, life: 'b' }]], machine);
  expect(found(lines, { step: machine })).toEqual(['at most one sandbox is a host, and one an epoch']);
});

test('found: effects of another machine', () => {
  const lines = record(started, changed(without(({ type }) => type === 'invoke')));
  expect(found(lines)).toEqual([SAME]);
});

test('found: a cluster that does not come to rest', () => {
  expect(found(record(started), { atRest: true })).toEqual([RESTS]);
  expect(found(record([]), { atRest: true })).toEqual([]);
});
