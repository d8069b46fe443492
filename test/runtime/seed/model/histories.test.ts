/** Longer histories of larger clusters, by chance. What fails is made as short as it can be. */
import { array, assert, nat, property } from 'fast-check';
import { initialWorld } from '../../../../src/runtime/seed/model/explore';
import { movesOf } from '../../../../src/runtime/seed/model/moves';
import { ALWAYS, comeToRest } from '../../../../src/runtime/seed/model/properties';
import type { Size } from '../../../../src/runtime/seed/model/world';

jest.setTimeout(120_000);

const base: Size = { hosts: 2, clients: [5, 5], faults: 6, cycles: 6, reserved: true };

/** @returns what is wrong, with what has led to it */
function run(size: Size, choices: readonly number[]): string | undefined {
  const world = initialWorld(size);
  const trace: string[] = [];
  for (const choice of choices) {
    const moves = movesOf(world, size);
    if (moves.length === 0) break;
    const [name, act] = moves[choice % moves.length];
    trace.push(name);
    act(world);
    for (const [what, holds] of Object.entries(ALWAYS)) {
      const problem = holds(world, size);
      if (problem) return [`${what}: ${problem}`, ...trace].join('\n');
    }
  }
  let next = choices.length;
  const random = () => {
    next = (Math.imul(next, 1_664_525) + 1_013_904_223) >>> 0;
    return next / 2 ** 32;
  };
  const end = comeToRest(world, size, random);
  return end && [end.problem, ...trace, '— from here on nothing fails', ...end.trace].join('\n');
}

test.each([
  [true, false],
  [false, false],
  [true, true],
  [false, true],
])('what must hold, holds (reserved concurrency: %s, another seed: %s)', (reserved, standby) => {
  const choices = array(nat({ max: 999 }), { minLength: 1, maxLength: 400, size: 'max' });
  assert(
    property(choices, (all) => {
      const wrong = run({ ...base, reserved, standby }, all);
      if (wrong) throw new Error(wrong);
    }),
    { numRuns: 750, seed: 12 },
  );
});
