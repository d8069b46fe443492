/** The seed of the model: the very `step`, and its effects in the model's world. */
import type { Location, PortMapping } from '../../../contract/control/location';
import { parseManifest } from '../../../contract/manifest';
import { clockAfter, endOfTerm, freeFrom, mayAct } from '../lease/term';
import type { Effect } from '../machine/effects';
import type { MachineEvent } from '../machine/events';
import { admit } from '../machine/joins';
import { type HostState, imaginedHost, isStartedAnew, type Settings } from '../machine/state';
import { step } from '../machine/step';
import type { Call, Known, Link, Run, Sandbox, World } from './world';

/** The port that every host listens on. */
export const listening: PortMapping = { port: 80, realPort: 40_080, scope: 'any' };

const { hosts } = parseManifest({
  version: 1,
  cluster: { name: 'model' },
  hosts: [
    { name: 'host', functionName: 'function', command: ['guest'], onDrain: ['drain'] },
    { name: 'instance', kind: 'instance' },
  ],
});
const [settings, ofInstance] = hosts.map((entry): Settings => ({ entry, lostAfter: 10_000, expectLimit: 10_000 }));

export function newMachine() {
  const { settings: _, ...machine } = imaginedHost(settings, 0);
  return machine;
}

const FIELDS = newMachine();

export function stateOf(world: World, host: number): HostState {
  const { machine, places } = world.hosts[host];
  return { settings: places.length > 0 ? ofInstance : settings, ...machine };
}

/** Of all members that are connected. */
export function linkOf(world: World, member: number): Link | undefined {
  const runs = world.hosts.flatMap(({ sandboxes }) => sandboxes.map(({ run }) => run?.link));
  const places = world.hosts.flatMap((host) => host.places.map(({ link }) => link));
  const links = [
    ...runs,
    ...places,
    ...world.hosts.flatMap(({ dead }) => dead),
    ...world.clients.map(({ link }) => link),
  ];
  return links.find((link) => link?.member === member && !link.closed);
}

/** Is shown every step of every machine. */
type Observer = (before: HostState, event: MachineEvent, after: HostState) => void;

let observer: Observer = () => undefined;

/** Runs `act`, and shows what the machines do meanwhile. */
export function observed(show: Observer, act: () => void): void {
  const former = observer;
  observer = show;
  try {
    act();
  } finally {
    observer = former;
  }
}

/** The seed takes an event, and all that comes of it at once. */
export function take(world: World, host: number, event: MachineEvent): void {
  const { mayAllocate, clock } = world.seed;
  const before = stateOf(world, host);
  const { state, effects } = step(before, event, { at: 0, wall: clock, random: 0, mayAllocate });
  observer(before, event, state);
  const { settings: _, ...machine } = state;
  // Each field has its place, also one that was undefined meanwhile: states are told apart as texts.
  world.hosts[host].machine = { ...FIELDS, ...machine };
  for (const effect of effects) carryOut(world, host, effect);
  if (!isStartedAnew(before, state)) return;
  for (const other of world.hosts[host].edges) take(world, other, { type: 'prefetch', by: `host ${host}` });
}

function carryOut(world: World, host: number, effect: Effect) {
  const of = world.hosts[host];
  switch (effect.type) {
    case 'send':
      if (effect.frame.type === 'release') return void linkOf(world, effect.member)?.down.push({ type: 'release' });
      if (effect.frame.type !== 'suspendReply') throw new Error(`the model has no '${effect.frame.type}'`);
      return void linkOf(world, effect.member)?.down.push({ type: 'suspendReply', ok: effect.frame.ok });
    case 'answer': {
      const { member, frame } = effect;
      const how = frame.type === 'located' ? { epoch: frame.location.epoch } : { errno: frame.errno };
      return void linkOf(world, member)?.down.push({ type: 'answer', id: frame.id, ...how });
    }
    case 'dismiss':
      linkOf(world, effect.member)?.down.push({ type: 'stop' });
      return close(world, effect.member);
    case 'destroy':
      return close(world, effect.member);
    case 'subscribe':
      if (!of.subscribers.includes(effect.member)) of.subscribers.push(effect.member);
      return;
    case 'tell':
      if (!of.subscribers.includes(effect.member)) of.subscribers.push(effect.member);
      linkOf(world, effect.member)?.down.push(wordOf(host, effect.location, false));
      return;
    case 'publish':
    case 'publishEnd': {
      const word = wordOf(host, effect.location, effect.type === 'publishEnd');
      for (const member of of.subscribers) linkOf(world, member)?.down.push(word);
      if (word.end) of.subscribers = [];
      return;
    }
    case 'awaitAcks':
      return countAcks(world, host);
    case 'seekStart':
      return take(world, host, { type: 'startGranted', cause: effect.cause });
    case 'invoke': {
      const { number, epoch, fresh, oldest, action } = effect;
      of.requests.push({ at: 'sent', call: { number, epoch, fresh, oldest, action, seed: world.seed.id } });
      return;
    }
    case 'drain': {
      const { epoch, oldest } = effect;
      of.requests.push({ at: 'sent', call: { number: 0, epoch, oldest, action: 'drain', seed: world.seed.id } });
      return;
    }
    case 'giveUp': {
      const own = ({ seed, orphan }: Call) => seed === world.seed.id && !orphan;
      of.requests = of.requests.filter(({ at, call }) => at !== 'waits' || !own(call));
      for (const { call } of of.requests) if (call.seed === world.seed.id) call.stopped = true;
      return;
    }
    case 'up':
      for (const h of of.followers) take(world, h, { type: 'companion', name: `host ${host}`, up: effect.up });
      return;
    case 'emit':
    case 'emitSaid':
    case 'limited':
    case 'returned':
    case 'startTimer':
    case 'cancelTimer':
    case 'commandReply':
      return;
    default:
      return effect satisfies never;
  }
}

function wordOf(host: number, { epoch, oldest = 0, state }: Location, end: boolean) {
  return { type: 'location', host, epoch, oldest, state, end } as const;
}

/** The seed's end of a connection is closed: nothing more of it is heard. What was sent arrives. */
function close(world: World, member: number): void {
  const link = linkOf(world, member);
  if (!link) return;
  hangUp(link);
  forget(world, member);
}

/** A member is gone: it waits for nothing, and is sent nothing. */
function forget(world: World, member: number): void {
  for (const host of world.hosts.keys()) {
    const of = world.hosts[host];
    of.subscribers = of.subscribers.filter((other) => other !== member);
    if (of.machine.waiters.some((waiter) => waiter.member === member)) take(world, host, { type: 'gone', member });
    countAcks(world, host);
  }
}

/** A subscriber acknowledges what it takes in. */
export function countAcks(world: World, host: number): void {
  const { machine, subscribers } = world.hosts[host];
  if (machine.phase.state !== 'running' || machine.phase.fence?.stage !== 'acks') return;
  const told = (member: number) =>
    linkOf(world, member)?.down.some((word) => word.type === 'location' && word.host === host);
  take(world, host, { type: 'acks', missing: subscribers.filter(told).length });
}

/** What a member has sent arrives. */
export function hear(world: World, link: Link): void {
  if (seedOf(world, link) === 'dead') link.up = [];
  else lets(world, link.seed, () => hearNext(world, link));
}

/** What has become of the seed at the other end: it serves, or did, its lease has passed to another one, or it has died. */
export function seedOf({ seed, former }: World, link: Link): 'serves' | 'former' | 'dead' {
  if (link.seed === seed.id) return 'serves';
  return link.seed === former?.seed.id ? 'former' : 'dead';
}

function hearNext(world: World, link: Link) {
  const report = link.up.shift()!;
  const { member } = link;
  if (report.type === 'lost') {
    link.closed = true;
    forget(world, member);
  }
  if (link.host !== undefined) return take(world, link.host, { ...report, member } as MachineEvent);
  const { at, ...event } = report;
  if (at !== undefined) take(world, at, { ...event, member } as MachineEvent);
}

/** A supervisor joins as its sandbox's epoch. @returns false if it is refused */
export function join(world: World, host: number, { id, guests, born, listens }: Sandbox, run: Run): boolean {
  const { epoch } = run;
  const life = `${id}.${guests}`;
  if (admit(stateOf(world, host), { epoch, life })) return false;
  const { lives } = world.hosts[host];
  lives[epoch] ??= life;
  if (lives[epoch] !== life) world.hosts[host].twice = true;
  const member = ++world.members;
  run.link = { member, seed: world.seed.id, host, up: [], down: [] };
  take(world, host, { type: 'join', member, epoch, life, born, ports: listens ? [listening] : [] });
  return true;
}

/** Seeds that can be dialled. One that stands still does not answer. */
export function seedsUp({ seed, former }: World): number[] {
  return [...(seed.up ? [seed.id] : []), ...(former ? [former.seed.id] : [])];
}

/** Whether that seed takes what it is sent: it serves, or its lease has not ended. */
export function answers({ seed, former, time }: World, id: number): boolean {
  if (id === seed.id) return seed.up;
  return former?.seed.id === id && mayAct(time, former.end);
}

/** Lets a seed do something, with what it knows. It looks at its lease before, and ends where that has ended. */
export function lets(world: World, id: number, act: () => void): void {
  const { former, seed, time } = world;
  if (id === seed.id) {
    act();
    return;
  }
  if (former?.seed.id !== id) return;
  change(world, former);
  if (mayAct(time, former.end)) act();
  else crash(world);
  change(world, former);
  if (!former.seed.up) world.former = undefined;
}

/** The two seeds change places. */
function change(world: World, former: NonNullable<World['former']>): void {
  const { seed } = world;
  const known = world.hosts.map(({ machine, subscribers, lives }) => ({ machine, subscribers, lives }));
  world.seed = former.seed;
  for (const [h, of] of world.hosts.entries()) Object.assign(of, former.known[h]);
  former.seed = seed;
  former.known = known;
}

const nothing = (): Known => ({ machine: newMachine(), subscribers: [], lives: {} });

/** Milliseconds. */
const LEASE = 5_000;

/**
 * The lease passes to the other seed, as early as it may: the one that has it stands still from its last renewal on, and
 * the clock of the other one's machine is far behind.
 */
export function passLease(world: World): void {
  const { seed, hosts, time } = world;
  const known = hosts.map(({ machine, subscribers, lives }) => ({ machine, subscribers, lives }));
  world.former = { seed, end: endOfTerm(time, LEASE), known };
  world.time = freeFrom(time, LEASE);
  const clock = clockAfter({ clock: seed.clock, duration: LEASE }, 0);
  world.seed = { id: seed.id + 1, up: true, mayAllocate: false, clock };
  for (const of of hosts) Object.assign(of, nothing());
}

/** The seed dies, and all that it knew. What it has requested goes on without it. */
export function crash(world: World): void {
  const { id, clock } = world.seed;
  world.seed = { id, up: false, mayAllocate: false, clock: clock + 100 };
  const own = ({ seed }: { readonly seed: number }) => seed === id;
  for (const host of world.hosts) {
    host.requests = host.requests.filter(({ at, call }) => !own(call) || at === 'sent');
    const runs = host.sandboxes.flatMap(({ run }) => run ?? []);
    for (const { call } of [...host.requests, ...runs]) if (own(call)) call.orphan = true;
    for (const { link } of [...runs, ...host.places]) if (link && own(link)) hangUp(link);
    host.dead = host.dead.filter((link) => !own(link));
    Object.assign(host, nothing());
  }
  for (const { link } of world.clients) if (link && own(link)) hangUp(link);
}

function hangUp(link: Link): void {
  link.closed = true;
  link.up = [];
}
