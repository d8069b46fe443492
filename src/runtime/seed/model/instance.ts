/** A host instance of the model: machines on which `imaginary join` is started, and which may vanish. */
import { admit } from '../machine/joins';
import { nextEpoch, sessionOf } from '../machine/state';
import type { Move } from './moves';
import { spend } from './platform';
import { hear, lets, listening, seedOf, seedsUp, stateOf, take } from './seed';
import type { Link, Place, World } from './world';

export function instanceMoves(world: World): Move[] {
  return world.hosts.flatMap(({ places }, h) => places.flatMap((place, p) => movesOf(world, h, place, p)));
}

function movesOf(world: World, h: number, { runs, listens, link, epoch }: Place, p: number): Move[] {
  const move = (name: string, act: (world: World, place: Place) => void, how?: 'chosen'): Move => [
    `machine ${h}/${p} ${name}`,
    (w) => act(w, w.hosts[h].places[p]),
    how,
  ];
  if (!runs) return world.joins === 0 ? [] : [move('is started', start, 'chosen')];
  if (!link) {
    // One that has not joined before waits until an earlier one has had the time to be back.
    const waits = epoch === undefined && !world.seed.mayAllocate;
    const ids = seedsUp(world).filter((id) => !waits || id !== world.seed.id);
    return ids.map((id) => move(`joins seed ${id}`, (w, place) => dial(w, h, p, place, id)));
  }
  const moves: Move[] = [];
  if (link.up.length > 0) moves.push(move(`is heard: ${link.up[0].type}`, (w, place) => hear(w, place.link!)));
  if (link.down.length > 0) moves.push(move(`hears ${link.down[0].type}`, listen));
  else if (link.closed || seedOf(world, link) === 'former')
    moves.push(move('notices that its connection has ended', (_w, place) => disconnect(place)));
  if (link.closed) return moves;
  if (world.faults > 0) {
    moves.push(move('loses its connection', (w, place) => part(spend(w), h, place, 'cut'), 'chosen'));
    moves.push(move('vanishes', (w, place) => vanish(spend(w), h, place), 'chosen'));
    moves.push(move("'s guest crashes", (w, place) => leave(spend(w), h, place, 'exited'), 'chosen'));
  }
  if (!listens) moves.push(move('listens', (_w, place) => serve(place)));
  return [...moves, move('leaves', (w, place) => leave(w, h, place, 'released'), 'chosen')];
}

function start(world: World, place: Place): void {
  world.joins -= 1;
  place.runs = true;
  place.lives += 1;
}

/** The guest has ended, or nobody hears of it any more. */
function clear(place: Place): void {
  place.runs = undefined;
  place.listens = undefined;
  place.epoch = undefined;
  place.link = undefined;
}

function disconnect(place: Place): void {
  place.link = undefined;
}

function serve(place: Place): void {
  place.listens = true;
  place.link!.up.push({ type: 'ports', ports: [listening], settled: true });
}

/** As `#joinAsInstance` of the seed's (src/runtime/seed/members/connection.ts). */
function dial(world: World, h: number, p: number, place: Place, seed: number): void {
  lets(world, seed, () => {
    const before = stateOf(world, h);
    const epoch = place.epoch ?? nextEpoch(before, world.seed.clock);
    const life = `${p}.${place.lives}`;
    const refusal = admit(before, { epoch, life });
    if (refusal?.fenced) {
      // Its guest goes on, as the next epoch.
      place.epoch = undefined;
      return;
    }
    if (refusal) return clear(place);
    const of = world.hosts[h];
    of.lives[epoch] ??= life;
    if (of.lives[epoch] !== life) of.twice = true;
    const peer = sessionOf(before)?.peer;
    if (of.places.some(({ link }) => link && link !== place.link && link.member === peer && !link.closed))
      of.takenOver = true;
    const member = ++world.members;
    place.link = { member, seed: world.seed.id, host: h, up: [], down: [] };
    take(world, h, {
      ...{ type: 'join', member, epoch, life, born: place.epoch },
      ports: place.listens ? [listening] : [],
    });
    place.epoch = epoch;
  });
}

function listen(_world: World, place: Place): void {
  const word = place.link!.down.shift()!;
  if (word.type !== 'stop') return;
  place.epoch = undefined;
  disconnect(place);
}

/** What it had sent arrives, and then the seed notices. */
function part({ hosts }: World, h: number, place: Place, reason: string): void {
  const left: Link = place.link!;
  left.up.push({ type: 'lost', reason });
  hosts[h].dead.push(left);
  disconnect(place);
}

/** With what was under way, and for good. The seed notices by its silence. */
function vanish(world: World, h: number, place: Place): void {
  place.link!.up = [];
  part(world, h, place, 'no sign of life');
  clear(place);
}

function leave(world: World, h: number, place: Place, outcome: 'exited' | 'released'): void {
  const exitCode = outcome === 'exited' ? 1 : undefined;
  place.link!.up.push({ type: 'leave', frame: { type: 'leave', outcome, exitCode } });
  part(world, h, place, 'closed');
  clear(place);
}
