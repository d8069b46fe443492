/** Random histories of one host's machine: what must hold after every step, whatever members and the platform do. */
import { deepStrictEqual, ok } from 'node:assert/strict';
import type { Effect, TimerName } from '../../../../src/runtime/seed/machine/effects';
import type { MachineEvent, SessionEvent } from '../../../../src/runtime/seed/machine/events';
import { type HostState, sessionOf, visiblePorts } from '../../../../src/runtime/seed/machine/state';
import { step } from '../../../../src/runtime/seed/machine/step';
import { timersOf } from '../../../../src/runtime/seed/machine/turn';
import { waitTimer } from '../../../../src/runtime/seed/machine/waiters';
import { mapping } from '../cluster';
import { EVENTS, newHost } from './samples';

const HISTORIES = 300;
const STEPS = 120;
const POLICIES = ['never', 'on-failure', 'always'] as const;
const ALLOCATION_TIMEOUT = newHost().settings.entry.allocationTimeout;

interface Invocation {
  readonly number: number;
  readonly epoch: number;
  readonly fresh?: number;
  readonly action: 'run' | 'release' | 'drain';
}

/** Members and a platform that do anything at any time, but answer `seekStart` at once, as the interpreter does. */
class History {
  state: HostState;
  readonly seen = new Set<string>();
  readonly #timers = new Map<TimerName, number>();
  readonly #waits = new Set<string>();
  readonly #invocations = new Map<number, Invocation>();
  readonly #given = new Set<number>();
  readonly #orders = new Set<number>();
  readonly #supervisors: number[] = [];
  #random: number;
  #at = 0;
  #mayAllocate = true;
  #nextId = 1;
  #lastLocated = 0;

  constructor(seed: number) {
    this.#random = seed;
    this.#mayAllocate = this.#chance(0.8);
    this.state = deepFreeze(
      this.#chance(0.9) ? newHost('function', { restartPolicy: this.#pick(POLICIES) }) : newHost('instance'),
    );
  }

  /** mulberry32 */
  #next(): number {
    this.#random = (this.#random + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#random ^ (this.#random >>> 15), 1 | this.#random);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  }

  #chance(of: number): boolean {
    return this.#next() < of;
  }

  #pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#next() * from.length)];
  }

  /** Something happens. */
  go() {
    this.#at += Math.floor(this.#next() * 50);
    if (!this.#mayAllocate && this.#chance(0.1)) {
      this.#mayAllocate = true;
      return this.#take({ type: 'wake' });
    }
    const kinds = [this.#locate, this.#timer, this.#invocation, this.#join, this.#session, this.#end, this.#other];
    const event = this.#pick(kinds).call(this);
    if (event) this.#take(event);
  }

  #locate(): MachineEvent {
    const member = this.#pick([100, 101, 102]);
    const protocol = this.#chance(0.2) ? 'udp' : undefined;
    const common = { type: 'locate', member, by: `member ${member}`, id: this.#nextId++ } as const;
    return { ...common, port: this.#pick([80, 81]), waited: this.#pick([0, 0, 1_000]), protocol };
  }

  #other(): MachineEvent | undefined {
    if (this.#chance(0.6)) return undefined;
    const name = this.#pick(['db', 'queue']);
    if (this.#chance(0.3)) return { type: 'prefetch', by: name };
    if (this.#chance(0.5)) return { type: 'companion', name, up: this.#chance(0.5) };
    const id = this.#nextId++;
    this.#orders.add(id);
    return { type: 'command', id, command: this.#pick(['start', 'wake', 'release', 'stop'] as const) };
  }

  #end(): MachineEvent | undefined {
    const { phase, waiters } = this.state;
    if (phase.state === 'running' && phase.fence) return { type: 'acks', missing: this.#pick([0, 0, 1, 2]) };
    if (waiters.length === 0 || this.#chance(0.5)) return undefined;
    const { member, id } = this.#pick(waiters);
    return this.#chance(0.5) ? { type: 'cancel', member, id } : { type: 'gone', member };
  }

  /** Timers fire in order, the first of them when its time has come. */
  #timer(): MachineEvent | undefined {
    const [first] = [...this.#timers].sort(([, a], [, b]) => a - b);
    if (!first || this.#chance(0.5)) return undefined;
    const [name, due] = first;
    this.#at = Math.max(this.#at, due);
    this.#timers.delete(name);
    return { type: 'timer', name };
  }

  #invocation(): MachineEvent | undefined {
    if (this.#invocations.size === 0) return undefined;
    const { number, epoch, action } = this.#pick([...this.#invocations.values()]);
    const samples = Object.values(EVENTS).filter(
      ({ type }) => type === 'sent' || type === 'throttled' || type === 'ended',
    );
    return { ...this.#pick(samples), number, epoch, action } as MachineEvent;
  }

  #join(): MachineEvent {
    const epochs = [...this.#invocations.values()].map(({ epoch, fresh }) => this.#pick([epoch, fresh ?? epoch]));
    const { lastEpoch } = this.state;
    const epoch = this.#pick([...epochs, ...epochs, lastEpoch, lastEpoch, lastEpoch - 1, lastEpoch + 1]);
    const member = 1 + this.#supervisors.length;
    this.#supervisors.push(member);
    const ports = this.#pick([[], [mapping(80)]]);
    return { type: 'join', member, epoch, life: this.#pick(['a', 'a', 'b']), ports };
  }

  /** Mostly of the supervisor that is connected. */
  #session(): MachineEvent | undefined {
    const member = this.#chance(0.9) ? sessionOf(this.state)?.peer : this.#pick(this.#supervisors);
    if (member === undefined) return undefined;
    const types: ReadonlyArray<MachineEvent['type']> = [
      'ports',
      'natReport',
      'report',
      'suspend',
      'stay',
      'leave',
      'lost',
    ];
    const type = this.#pick(types);
    const samples = Object.values(EVENTS).filter((event) => event.type === type);
    return { ...(this.#pick(samples) as SessionEvent), member };
  }

  #take(event: MachineEvent): void {
    const before = this.state;
    const moment = { at: this.#at, wall: this.#at, random: this.#next(), mayAllocate: this.#mayAllocate };
    const { state, effects } = step(before, event, moment);
    deepStrictEqual(step(before, event, moment), { state, effects });
    this.state = deepFreeze(state);
    this.#notice(before, event);
    for (const effect of effects) this.#run(effect);
    this.#check(before);
    const [from, to] = [before.phase.state, state.phase.state];
    if (from !== to) this.seen.add(`${from} → ${to}`);
    for (const { cause } of effects.filter((effect) => effect.type === 'seekStart')) {
      const excess = { limit: 'maxRunningHosts', allowed: 1, reason: 'too many' } as const;
      this.#take(this.#chance(0.85) ? { type: 'startGranted', cause } : { type: 'startDenied', cause, excess });
    }
    if (effects.every(({ type }) => type !== 'seekStart')) this.#checkWaits();
  }

  #notice(before: HostState, event: MachineEvent): void {
    if (event.type === 'locate') this.#waits.add(waitTimer(event));
    if (event.type === 'cancel') this.#waits.delete(waitTimer(event));
    if (event.type === 'gone') {
      for (const waiter of before.waiters) if (waiter.member === event.member) this.#waits.delete(waitTimer(waiter));
    }
    if (event.type === 'ended') this.#invocations.delete(event.number);
  }

  #run(effect: Effect): void {
    if (effect.type === 'startTimer') this.#timers.set(effect.name, this.#at + effect.delay);
    if (effect.type === 'cancelTimer') this.#timers.delete(effect.name);
    if (effect.type === 'answer') {
      const { member, frame } = effect;
      // Each wait is answered once, and none that has ended.
      ok(this.#waits.delete(waitTimer({ member, id: frame.id })), 'an answer that nothing waits for');
      if (frame.type !== 'located') return;
      ok(frame.location.epoch >= this.#lastLocated, 'an older epoch is located');
      this.#lastLocated = frame.location.epoch;
    }
    if (effect.type === 'commandReply') ok(this.#orders.delete(effect.id), 'an order is answered twice');
    if (effect.type === 'invoke') {
      const { number, epoch, fresh, action } = effect;
      // No two sandboxes that are empty become the same epoch.
      const given = fresh ?? epoch;
      if (action === 'run') ok(!this.#given.has(given), `epoch ${given} is given out twice`);
      this.#given.add(given);
      ok(!this.#invocations.has(number));
      this.#invocations.set(number, { number, epoch, fresh, action });
    }
  }

  #check(before: HostState): void {
    const { state } = this;
    // Epochs only grow.
    ok(state.lastEpoch >= before.lastEpoch && state.minEpoch >= before.minEpoch, 'an epoch shrinks');
    // No wait is forgotten, and none is kept that has ended.
    deepStrictEqual(state.waiters.map(waitTimer), [...this.#waits]);
    deepStrictEqual(
      state.orders.map(({ id }) => id),
      [...this.#orders],
    );
    // The timers that run are those of the state.
    const due = Object.entries(timersOf(state)).filter(([, at]) => at !== undefined) as Array<[TimerName, number]>;
    const waits = state.waiters.map((waiter) => [waitTimer(waiter), waiter.since + ALLOCATION_TIMEOUT] as const);
    deepStrictEqual(this.#timers, new Map<string, number>([...due, ...waits]));
  }

  /** A member waits only for what is still to come. */
  #checkWaits(): void {
    const { phase, waiters } = this.state;
    const releasing = phase.state === 'suspended' && phase.releasing;
    if ((phase.state === 'failed' && phase.errno) || (phase.state === 'suspended' && !releasing))
      deepStrictEqual(waiters, []);
    const { kind } = this.state.settings.entry;
    if (phase.state === 'imagined' && this.#mayAllocate && kind === 'function') deepStrictEqual(waiters, []);
    if (phase.state !== 'running' || phase.fence || phase.session.peer === undefined) return;
    const open = visiblePorts(phase.session.ports).map(({ port }) => port);
    deepStrictEqual(
      waiters.filter(({ port, protocol }) => !protocol && open.includes(port)),
      [],
    );
  }
}

/** So that a step that changes a state throws. @throws if it is not plain data, which a model can copy */
function deepFreeze<T>(value: T): T {
  ok(typeof value !== 'function');
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  ok(['Object', 'Array'].includes(value.constructor.name), value.constructor.name);
  Object.freeze(value);
  for (const part of Object.values(value)) deepFreeze(part);
  return value;
}

/** Phases that follow each other in one step: a supervisor that joins with ports runs at once. */
const TRANSITIONS = [
  ...['imagined → allocating', 'imagined → running'],
  ...['allocating → running', 'allocating → suspended', 'allocating → failed', 'allocating → imagined'],
  ...['running → allocating', 'running → suspended', 'running → failed', 'running → imagined'],
  ...['suspended → allocating', 'suspended → running', 'suspended → imagined'],
  ...['failed → allocating', 'failed → running', 'failed → imagined'],
];

test(`${HISTORIES} histories of ${STEPS} events, which have every transition`, () => {
  const seen = new Set<string>();
  for (let seed = 1; seed <= HISTORIES; seed++) {
    const history = new History(seed);
    try {
      for (let i = 0; i < STEPS; i++) history.go();
    } catch (error) {
      throw new Error(`history ${seed}: ${(error as Error).message}`, { cause: error });
    }
    for (const transition of history.seen) seen.add(transition);
  }
  expect([...seen].sort()).toEqual([...TRANSITIONS].sort());
});
