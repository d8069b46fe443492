/** Goes through every state that a model of one size can be in, the nearest first. */
import { createHash } from 'node:crypto';
import { renumber } from './members';
import { movesOf } from './moves';
import { ALWAYS, comeToRest } from './properties';
import { newMachine } from './seed';
import type { Size, World } from './world';

export interface Found {
  readonly states: number;
  /** All states were seen. */
  readonly whole: boolean;
  /** The first violation, with the moves that lead to it. */
  readonly violation?: { readonly problem: string; readonly trace: readonly string[] };
}

export function initialWorld(size: Size): World {
  const { hosts, clients, faults, cycles, orders = 0, startWith, edges, machines = 0 } = size;
  const each = Array.from({ length: hosts });
  return {
    seed: { id: 1, up: true, mayAllocate: true, clock: 100 },
    time: 0,
    hosts: each.map((_, h) => ({
      machine: newMachine(),
      followers: startWith && h === 0 ? [1] : [],
      edges: edges ? [1 - h] : [],
      subscribers: [],
      requests: [],
      sandboxes: [],
      places: Array.from({ length: h === 0 ? machines : 0 }, () => ({ lives: 0 })),
      dead: [],
      made: 0,
      lives: {},
    })),
    clients: clients.map((left) => ({ left, ids: 0, seen: each.map(() => 0), connected: each.map(() => 0) })),
    members: 0,
    faults,
    cycles,
    orders,
    joins: machines === 0 ? 0 : 2,
  };
}

/**
 * @param most states; then the search ends
 * @param property only its violation is looked for; default: any
 */
export function explore(size: Size, most: number, property = ''): Found {
  const first = JSON.stringify(initialWorld(size));
  const seen = new Set([keyOf(first)]);
  const parents: Array<{ readonly from: number; readonly move: string }> = [{ from: -1, move: '' }];
  const queue: Array<{ readonly text: string; readonly index: number } | undefined> = [{ text: first, index: 0 }];
  const traceTo = (index: number): string[] =>
    index <= 0 ? [] : [...traceTo(parents[index].from), parents[index].move];
  for (let next = 0; next < queue.length; next++) {
    const { text, index } = queue[next]!;
    queue[next] = undefined;
    const world: World = JSON.parse(text);
    const wrong = violationIn(world, size, text);
    if (wrong?.problem.startsWith(property)) {
      const { problem, trace } = wrong;
      return { states: seen.size, whole: false, violation: { problem, trace: [...traceTo(index), ...trace] } };
    }
    for (const [name, act] of movesOf(world, size)) {
      const after: World = JSON.parse(text);
      act(after);
      renumber(after);
      const afterText = JSON.stringify(after);
      const key = keyOf(afterText);
      if (seen.has(key)) continue;
      if (seen.size >= most) return { states: seen.size, whole: false };
      seen.add(key);
      parents.push({ from: index, move: name });
      queue.push({ text: afterText, index: parents.length - 1 });
    }
  }
  return { states: seen.size, whole: true };
}

function violationIn(world: World, size: Size, text: string) {
  for (const [name, property] of Object.entries(ALWAYS)) {
    const problem = property(world, size);
    if (problem) return { problem: `${name}: ${problem}`, trace: [] };
  }
  const rest = comeToRest(JSON.parse(text), size, numbers(text.length));
  return rest && { problem: rest.problem, trace: ['— from here on nothing fails', ...rest.trace] };
}

function keyOf(text: string): string {
  return createHash('sha1').update(text).digest('base64');
}

/** Numbers from 0 to 1, the same for the same start. */
function numbers(start: number): () => number {
  let state = start;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
