/** The platform of the model: requests that arrive, sandboxes that it chooses, answers that arrive. */
import type { InvokeOutcome } from '../allocator/lambda';
import type { MachineEvent } from '../machine/events';
import type { Move } from './moves';
import { lets, take } from './seed';
import { type Call, type Host, type Request, result, type Sandbox, type Size, type World } from './world';

const LOST: InvokeOutcome = { kind: 'broken', code: 'ETIMEDOUT', message: 'the request is lost' };
const CRASHED: InvokeOutcome = { kind: 'function-error', error: 'Crash', message: 'the sandbox is gone' };

export function platformMoves(world: World, size: Size): Move[] {
  return world.hosts.flatMap((host, h) => [
    ...host.requests.flatMap((request, r) => ofRequest(world, size, h, request, r)),
    ...(world.faults > 0 ? host.sandboxes.flatMap((sandbox, s) => faultsOf(h, sandbox, s)) : []),
  ]);
}

function ofRequest({ hosts, faults }: World, { reserved }: Size, h: number, { at, call }: Request, r: number): Move[] {
  const { sandboxes } = hosts[h];
  const name = `call ${h}/${call.number}${call.orphan ? ' of the dead seed' : ''}`;
  if (at === 'waits') return [[`${name} is tried again`, (w) => tryAgain(w, h, r)]];
  if (at === 'ends') return [[`${name} has ended`, (w) => end(w, h, r)]];
  const faulty: Move[] = [
    [`${name} is lost`, (w) => answer(spend(w).hosts[h], r, LOST), 'chosen'],
    [`${name} is delivered twice`, (w) => repeat(spend(w).hosts[h], call), 'chosen'],
    // The account's concurrency is used up, or a pool's sandboxes: it says nothing about this host.
    [`${name} is throttled for others`, (w) => throttle(spend(w), h, r), 'chosen'],
  ];
  const lost = faults > 0 ? faulty : [];
  if (reserved && sandboxes.some(({ run }) => run))
    return [...lost, [`${name} is throttled`, (w) => throttle(w, h, r)]];
  const idle = sandboxes.flatMap((sandbox, s) => (sandbox.run ? [] : [s]));
  const wakes = idle.map(
    (s): Move => [
      `${name} wakes sandbox ${sandboxes[s].id}`,
      ({ hosts: all }) => start(all[h], r, all[h].sandboxes[s]),
    ],
  );
  // A sandbox that is idle is used, unless the platform has taken it away.
  const starts: Move[] =
    idle.length > 0 ? [] : [[`${name} starts a sandbox`, ({ hosts: all }) => start(all[h], r, make(all[h]))]];
  return [...lost, ...wakes, ...starts];
}

function faultsOf(h: number, { id, run }: Sandbox, s: number): Move[] {
  if (!run)
    return [
      [`frozen sandbox ${h}/${id} is taken away`, (w) => void spend(w).hosts[h].sandboxes.splice(s, 1), 'chosen'],
    ];
  return [[`sandbox ${h}/${id} dies`, (w) => die(spend(w).hosts[h], s), 'chosen']];
}

/** One fault less is left. */
export function spend(world: World): World {
  world.faults -= 1;
  return world;
}

function make(host: Host): Sandbox {
  const sandbox: Sandbox = { id: ++host.made, guests: 0 };
  host.sandboxes.push(sandbox);
  return sandbox;
}

/** As a supervisor takes an invocation: with the fresh epoch, if it does not hold the one that is to go on. */
function start(host: Host, r: number, sandbox: Sandbox) {
  const [{ call }] = host.requests.splice(r, 1);
  const { holds = 0 } = sandbox;
  if (call.action === 'drain') {
    if (holds <= call.epoch) clear(sandbox);
    return returned(host, call, result(call.epoch, 'released'));
  }
  if (call.action === 'release') {
    clear(sandbox);
    return returned(host, call, result(call.epoch, 'released'));
  }
  const fresh = holds < call.epoch ? call.fresh : undefined;
  const epoch = fresh ?? call.epoch;
  if (holds > epoch) return returned(host, call, result(epoch, 'fenced', { held: holds }));
  if (holds < (fresh ?? call.oldest)) clear(sandbox);
  sandbox.run = { call, epoch };
}

/** The guests of a sandbox have ended. */
export function clear(sandbox: Sandbox): void {
  if (sandbox.holds !== undefined) sandbox.guests += 1;
  sandbox.holds = undefined;
  sandbox.born = undefined;
  sandbox.listens = undefined;
}

/** The invocation in a sandbox returns. The sandbox is frozen. */
export function finish(host: Host, sandbox: Sandbox, outcome: InvokeOutcome): void {
  const { call } = sandbox.run!;
  sandbox.run = undefined;
  returned(host, call, outcome);
}

function returned(host: Host, call: Call, outcome: InvokeOutcome): void {
  if (!call.orphan) host.requests.push({ at: 'ends', call, outcome });
}

/** Nobody waits for the answer to the second one. */
function repeat(host: Host, call: Call): void {
  host.requests.push({ at: 'sent', call: { ...call, orphan: true } });
}

function answer(host: Host, r: number, outcome: InvokeOutcome): void {
  const [{ call }] = host.requests.splice(r, 1);
  returned(host, call, outcome);
}

/** With all that is in it, and without a word. What its connection had sent arrives, and the seed notices its end. */
function die(host: Host, s: number): void {
  const [{ run }] = host.sandboxes.splice(s, 1);
  if (run!.link && !run!.link.closed) host.dead.push(run!.link);
  run!.link?.up.push({ type: 'lost', reason: 'closed' });
  returned(host, run!.call, CRASHED);
}

function about({ number, epoch, action }: Call) {
  return { number, epoch, action };
}

function throttle(world: World, h: number, r: number) {
  const host = world.hosts[h];
  const [{ call }] = host.requests.splice(r, 1);
  if (call.orphan) return;
  if (call.action === 'drain') return drained(world, h, call, { kind: 'throttled', reason: 'busy' });
  lets(world, call.seed, () => {
    if (!call.stopped) host.requests.push({ at: 'waits', call });
    take(world, h, { type: 'throttled', ...about(call), attempt: 1, reason: 'busy' });
  });
}

function tryAgain(world: World, h: number, r: number): void {
  const host = world.hosts[h];
  const [{ call }] = host.requests.splice(r, 1);
  lets(world, call.seed, () => {
    host.requests.push({ at: 'sent', call });
    take(world, h, { type: 'sent', ...about(call), attempt: 2 });
  });
}

function end(world: World, h: number, r: number) {
  const [request] = world.hosts[h].requests.splice(r, 1);
  if (request.at !== 'ends') return;
  const { call } = request;
  if (call.action === 'drain') return drained(world, h, call, request.outcome);
  const event: MachineEvent = { type: 'ended', ...about(call), repeated: false, outcome: request.outcome };
  lets(world, call.seed, () => take(world, h, event));
}

function drained(world: World, h: number, { epoch, seed }: Call, outcome: InvokeOutcome): void {
  lets(world, seed, () => take(world, h, { type: 'drained', epoch, outcome }));
}
