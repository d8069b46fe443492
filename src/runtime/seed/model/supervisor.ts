/** The supervisors of the model: how each joins, serves, suspends, renews and ends. */
import type { InvocationResult } from '../../../contract/platform/invocation';
import type { Move } from './moves';
import { clear, finish, spend } from './platform';
import { hear, join, lets, listening, seedOf, seedsUp } from './seed';
import { type Link, type Run, result, type Sandbox, type World } from './world';

export function supervisorMoves(world: World): Move[] {
  return world.hosts.flatMap(({ sandboxes, dead }, h) => [
    ...sandboxes.flatMap((sandbox, s) => (sandbox.run ? movesOf(world, h, sandbox, sandbox.run, s) : [])),
    ...dead.flatMap((link, d): Move[] =>
      link.up.length === 0 ? [] : [[`the seed hears ${link.up[0].type} of the dead`, (w) => hearDead(w, h, d)]],
    ),
  ]);
}

function hearDead(world: World, h: number, d: number): void {
  const link = world.hosts[h].dead[d];
  hear(world, link);
  world.hosts[h].dead = world.hosts[h].dead.filter(({ up }) => up.length > 0);
}

type Act = (world: World, sandbox: Sandbox, run: Run) => void;

function movesOf(world: World, h: number, sandbox: Sandbox, { link, asks }: Run, s: number): Move[] {
  const of = `sandbox ${h}/${sandbox.id}`;
  const move = (name: string, act: Act, how?: 'chosen'): Move => [
    `${of} ${name}`,
    (w) => act(w, w.hosts[h].sandboxes[s], w.hosts[h].sandboxes[s].run!),
    how,
  ];
  const end = (name: string, outcome: InvocationResult['outcome'], exitCode?: number) =>
    move(name, (w, at, run) => leave(w, h, at, run, outcome, exitCode), 'chosen');
  if (!link) return seedsUp(world).map((id) => move(`joins seed ${id}`, (w, at, run) => dial(w, h, at, run, id)));
  const moves: Move[] = [];
  if (link.up.length > 0) moves.push(move(`is heard: ${link.up[0].type}`, (w, _at, run) => hear(w, run.link!)));
  if (link.down.length > 0) moves.push(move(`hears ${link.down[0].type}`, (w, at, run) => listen(w, h, at, run)));
  else if (link.closed || seedOf(world, link) === 'former')
    moves.push(move('notices that its connection has ended', (_w, _at, run) => disconnect(run)));
  if (link.closed) return moves;
  if (world.faults > 0) moves.push(move('loses its connection', (w, _at, run) => cut(spend(w), h, run), 'chosen'));
  if (asks) return moves;
  if (!sandbox.listens) moves.push(move('listens', (_w, at, run) => serve(at, run)));
  if (world.faults > 0) moves.push(end("'s guest crashes", 'exited', 1));
  if (world.cycles === 0) return moves;
  if (sandbox.listens) moves.push(move('is idle', (w, _at, run) => ask(w, run), 'chosen'));
  return [...moves, end('renews', 'renew')];
}

function dial(world: World, h: number, sandbox: Sandbox, run: Run, seed: number): void {
  lets(world, seed, () => {
    if (join(world, h, sandbox, run)) {
      sandbox.holds = run.epoch;
      sandbox.born ??= run.epoch;
      return;
    }
    clear(sandbox);
    finish(world.hosts[h], sandbox, result(run.epoch, 'fenced'));
  });
}

function serve(sandbox: Sandbox, { link }: Run): void {
  sandbox.listens = true;
  link!.up.push({ type: 'ports', ports: [listening], settled: true });
}

function ask(world: World, run: Run): void {
  world.cycles -= 1;
  run.asks = true;
  run.link!.up.push({ type: 'suspend' });
}

/** What it had sent arrives, and then the seed notices. It dials again. */
function cut({ hosts }: World, h: number, run: Run): void {
  const { link } = run;
  link!.up.push({ type: 'lost', reason: 'cut' });
  hosts[h].dead.push(link!);
  disconnect(run);
}

function disconnect(run: Run): void {
  run.link = undefined;
  run.asks = undefined;
}

function listen(world: World, h: number, sandbox: Sandbox, run: Run) {
  const word = run.link!.down.shift()!;
  if (word.type === 'stop') {
    clear(sandbox);
    return finish(world.hosts[h], sandbox, result(run.epoch, 'fenced'));
  }
  if (word.type === 'release') return leave(world, h, sandbox, run, 'released');
  if (word.type !== 'suspendReply') return;
  run.asks = undefined;
  if (word.ok) leave(world, h, sandbox, run, 'suspended');
}

/** The `leave` and the result of the invocation arrive one by one, in any order. */
function leave(
  world: World,
  h: number,
  sandbox: Sandbox,
  { link, epoch }: Run,
  outcome: InvocationResult['outcome'],
  exitCode?: number,
): void {
  if (outcome === 'renew') world.cycles -= 1;
  if (outcome === 'exited') {
    spend(world);
    clear(sandbox);
  }
  if (outcome === 'released') clear(sandbox);
  const left: Link = link!;
  left.up.push({ type: 'leave', frame: { type: 'leave', outcome, exitCode } }, { type: 'lost', reason: 'closed' });
  world.hosts[h].dead.push(left);
  finish(world.hosts[h], sandbox, result(epoch, outcome, { exitCode }));
}
