/** A model that finds nothing proves nothing: for each property, a change of the machine's code that violates it. */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Script } from 'node:vm';
import { build, type Plugin } from 'esbuild';
import type * as model from '../../../../src/runtime/seed/model/explore';
import { ALWAYS, AT_LAST, RESTLESS } from '../../../../src/runtime/seed/model/properties';
import type { Size } from '../../../../src/runtime/seed/model/world';

jest.setTimeout(120_000);

const seed = resolve(__dirname, '../../../../src/runtime/seed');

/** A file of the machine, or of the lease, what stands there, and what stands there instead. */
type Change = readonly [file: string, from: string, to: string];

/** The model of a machine that was changed. */
async function mutated([file, from, to]: Change): Promise<typeof model> {
  let changed = 0;
  const plugin: Plugin = {
    name: 'mutant',
    setup: ({ onLoad }) =>
      onLoad({ filter: /\/(machine|lease)\/[a-z]+\.ts$/ }, ({ path }) => {
        const text = readFileSync(path, 'utf8');
        if (path !== join(seed, 'machine', file) || !text.includes(from)) return undefined;
        changed += 1;
        return { contents: text.replace(from, to), loader: 'ts' };
      }),
  };
  const { outputFiles } = await build({
    entryPoints: [join(seed, 'model/explore.ts')],
    bundle: true,
    write: false,
    platform: 'node',
    format: 'cjs',
    plugins: [plugin],
  });
  expect(changed).toBe(1);
  const module = { exports: {} as typeof model };
  const run = new Script(`(function (module, exports, require) {${outputFiles[0].text}\n})`).runInThisContext();
  run(module, module.exports, require);
  return module.exports;
}

const base: Size = { hosts: 1, clients: [1], faults: 1, cycles: 1, reserved: false };

/** By the property that it violates. */
const MUTANTS: Readonly<Record<string, readonly [Change, Partial<Size>?]>> = {
  'at most one sandbox is a host, and one an epoch': [
    ['joins.ts', 'owner?.epoch === epoch && owner.life !== life', 'false'],
  ],
  'an instance that is connected is not taken over': [
    ['joins.ts', 'first?.peer !== undefined', 'false'],
    { machines: 2, faults: 0, cycles: 0 },
  ],
  'the epochs that a client sees grow': [
    [
      'joins.ts',
      "return { reason: `epoch ${known} of '${name}' is newer than ${epoch}`, fenced: true };",
      'return undefined;',
    ],
    { clients: [3], cycles: 0, faults: 2 },
  ],
  'no connect that waits is forgotten': [
    ['phases.ts', "turn.enter({ state: 'imagined' });", "turn.set({ phase: { state: 'imagined' }, waiters: [] });"],
    { faults: 0, clients: [2] },
  ],
  'every connect that waits ends by its deadline': [
    ['waiters.ts', 'give(turn, waiter, { errno', "if (turn.phase.state !== 'allocating') give(turn, waiter, { errno"],
  ],
  'every host is released': [['turn.ts', 'release: phase.releaseAt', 'release: undefined']],
  'no client has a connection to an epoch that has ended': [['turn.ts', ', oldest: Math.max(oldest, epoch + 1)', '']],
  'the state converges': [['invocations.ts', 'turn.set({ invocation: undefined });', '']],
  [RESTLESS]: [
    [
      'phases.ts',
      'if (!published) turn.publish();\n  wakeForWaiters(turn);',
      "turn.do({ type: 'seekStart', cause: { by: 'x', port: null, since: 0 } });",
    ],
  ],
};

test('every property has its mutant', () => {
  expect(Object.keys(MUTANTS)).toEqual([...Object.keys(ALWAYS), ...Object.keys(AT_LAST), RESTLESS]);
});

test.each(Object.entries(MUTANTS))('%s: violated by its mutant', async (property, [change, more]) => {
  const { explore } = await mutated(change);
  const { violation } = explore({ ...base, ...more }, 100_000, property);
  expect(violation?.problem).toContain(property);
});

/** Two seeds, of which the first stands still while its lease passes to the other. */
const STANDBY: ReadonlyArray<readonly [what: string, property: string, change: Change]> = [
  [
    'a seed that does not look at its lease',
    'at most one sandbox is a host, and one an epoch',
    ['../lease/term.ts', 'return now < end;', 'return true;'],
  ],
  [
    'a holder that stops when others may begin, and no earlier',
    'at most one sandbox is a host, and one an epoch',
    ['../lease/term.ts', 'return sentAt + duration - duration / STEPS;', 'return sentAt + duration + 1;'],
  ],
  [
    'epochs that begin with the clock of the machine',
    'the epochs that a client sees grow',
    [
      '../lease/term.ts',
      'return before ? Math.max(timeOfDay, before.clock + before.duration + 1) : timeOfDay;',
      'return timeOfDay;',
    ],
  ],
];

/** A host instance, which nobody can invoke to find out whether it is there. */
const INSTANCE: ReadonlyArray<readonly [what: string, property: string, change: Change]> = [
  [
    'a seed that waits for ever for an instance of an earlier seed',
    'no client has a connection to an epoch that has ended',
    ['watches.ts', 'turn.set({ doubt: { epoch: Math.max(newest, epoch), until } });', ''],
  ],
  [
    'an instance that is not heard of, and never given up',
    RESTLESS,
    [
      'joins.ts',
      "if (turn.entry.kind === 'instance') released(turn, { note: reason });",
      'if (turn.entry.kind === "instance") return;',
    ],
  ],
];

test.each(INSTANCE)('%s: found', async (_what, property, change) => {
  const { explore } = await mutated(change);
  const { violation } = explore({ ...base, cycles: 0, machines: 1 }, 100_000, property);
  expect(violation?.problem).toContain(property);
});

test.each(STANDBY)('%s: found', async (_what, property, change) => {
  const { explore } = await mutated(change);
  const { violation } = explore({ ...base, cycles: 0, clients: [2], standby: true }, 100_000, property);
  expect(violation?.problem).toContain(property);
});
