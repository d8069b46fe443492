/** What may happen next. */
import type { PhaseTimer } from '../machine/effects';
import { timersOf } from '../machine/turn';
import { waitTimer } from '../machine/waiters';
import { clientMoves } from './client';
import { instanceMoves } from './instance';
import { platformMoves, spend } from './platform';
import { answers, crash, lets, passLease, stateOf, take } from './seed';
import { supervisorMoves } from './supervisor';
import type { Size, World } from './world';

/**
 * Its name, and what it changes in a copy of the world. One that is `chosen` need never be made: a connect, an idle
 * host, something that fails. All others come about by themselves.
 */
export type Move = readonly [name: string, act: (world: World) => void, how?: 'chosen'];

/**
 * Time is what passes when nothing else can happen: the timer that is due first fires. A timer that fires earlier is a
 * delay of all that could happen, and as such a fault.
 */
export function movesOf(world: World, size: Size): Move[] {
  const moves = [
    ...clientMoves(world),
    ...supervisorMoves(world),
    ...instanceMoves(world),
    ...platformMoves(world, size),
    ...seedMoves(world, size),
  ];
  if (moves.every(([, , how]) => how)) return [...moves, ...timerMoves(world).slice(0, 1)];
  if (world.faults === 0) return moves;
  const early = timerMoves(world).map(([name, act]): Move => [`${name} (early)`, (w) => act(spend(w)), 'chosen']);
  return [...moves, ...early];
}

function seedMoves(world: World, { standby }: Size): Move[] {
  const { seed, former } = world;
  const moves: Move[] = [];
  if (former && !answers(world, former.seed.id))
    moves.push([`seed ${former.seed.id} looks at its lease`, (w) => lets(w, former.seed.id, () => undefined)]);
  if (!seed.up) return [...moves, ['the seed starts', restart]];
  if (standby && !former && world.faults > 0)
    moves.push([`the lease passes to seed ${seed.id + 1}`, (w) => passLease(spend(w)), 'chosen']);
  if (!world.seed.mayAllocate) moves.push(['the grace time ends', endGrace]);
  if (world.orders > 0)
    for (const h of world.hosts.keys()) moves.push([`host ${h} is to stop`, (w) => stop(w, h), 'chosen']);
  if (world.faults > 0) moves.push(['the seed dies', (w) => crash(spend(w)), 'chosen']);
  return moves;
}

function stop(world: World, h: number): void {
  world.orders -= 1;
  take(world, h, { type: 'command', id: world.orders, command: 'stop' });
}

function restart({ seed }: World): void {
  seed.up = true;
}

function endGrace(world: World): void {
  world.seed.mayAllocate = true;
  for (const h of world.hosts.keys()) take(world, h, { type: 'wake' });
}

/** The timers that run, the first that is due first. */
function timerMoves(world: World): Move[] {
  const due: Array<readonly [number, Move]> = [];
  for (const h of world.hosts.keys()) {
    const state = stateOf(world, h);
    for (const [name, at] of Object.entries(timersOf(state)) as Array<[PhaseTimer, number | undefined]>) {
      if (at !== undefined) due.push([at, [`timer ${h}/${name}`, (w) => take(w, h, { type: 'timer', name })]]);
    }
    for (const waiter of state.waiters) {
      const name = waitTimer(waiter);
      due.push([
        state.settings.entry.allocationTimeout,
        [`timer ${h}/${name}`, (w) => take(w, h, { type: 'timer', name })],
      ]);
    }
  }
  return due.sort(([a], [b]) => a - b).map(([, move]) => move);
}
