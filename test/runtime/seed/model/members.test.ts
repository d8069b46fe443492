/** States that differ by the numbers of members only are one state: what may happen next, and what comes of it, is the same. */

import { isDeepStrictEqual } from 'node:util';
import { array, assert, nat, property } from 'fast-check';
import { initialWorld } from '../../../../src/runtime/seed/model/explore';
import { renumber } from '../../../../src/runtime/seed/model/members';
import { movesOf } from '../../../../src/runtime/seed/model/moves';
import type { Size, World } from '../../../../src/runtime/seed/model/world';

jest.setTimeout(120_000);

const size: Size = { hosts: 2, clients: [5, 5], faults: 6, cycles: 6, orders: 2, reserved: false, standby: true };

/** A copy with other numbers. */
function renumbered(world: World): World {
  const copy: World = JSON.parse(JSON.stringify(world));
  renumber(copy);
  return copy;
}

test('a history with other numbers of members goes on alike', () => {
  let differed = 0;
  const alike = property(array(nat({ max: 999 }), { minLength: 1, maxLength: 300, size: 'max' }), (choices) => {
    const world = initialWorld(size);
    let other = initialWorld(size);
    for (const choice of choices) {
      const moves = movesOf(world, size);
      const others = movesOf(other, size);
      expect(others).toHaveLength(moves.length);
      if (moves.length === 0) return;
      moves[choice % moves.length][1](world);
      others[choice % moves.length][1](other);
      other = renumbered(other);
      if (world.members > other.members) differed += 1;
      if (!isDeepStrictEqual(renumbered(world), other)) expect(renumbered(world)).toEqual(other);
    }
  });
  assert(alike, { numRuns: 100, seed: 12 });
  expect(differed).toBeGreaterThan(0);
});
