/**
 * Runs the machine of one host: hands it events one by one, and carries its effects out with real timers and
 * invocations.
 */
import type { FromSeed } from '../../../contract/control/from-seed';
import type { HostCommand } from '../../../contract/control/to-seed';
import type { Invoke } from '../allocator/lambda';
import { Lifeline } from '../allocator/lifeline';
import type { Limits } from '../allocator/limits';
import { Subscribers } from '../locate/subscribers';
import type { EventLog } from '../operators/events';
import type { TraceWriter } from '../trace';
import type { Effect, TimerName } from './effects';
import type { MachineEvent } from './events';
import { Schedule } from './schedule';
import {
  costs,
  epochOf,
  type HostState,
  imaginedHost,
  isStartedAnew,
  isToReturn,
  locationOf,
  type MemberId,
  type Settings,
  type Standing,
  standingOf,
  visiblePorts,
} from './state';
import { step } from './step';
import { answering } from './waiters';

/** The control connections of members. A member that is gone is not an error. */
export interface Connections {
  send(member: MemberId, frame: FromSeed): void;
  /** Sends the answer to a locate, which is not open any more. */
  answer(member: MemberId, frame: Extract<FromSeed, { type: 'located' | 'unreachable' }>): void;
  /** Tells a supervisor to stop, and ends the connection. */
  dismiss(member: MemberId, reason: string): void;
  destroy(member: MemberId): void;
}

export interface CommandResult {
  readonly ok: boolean;
  readonly reason?: string;
  readonly state: HostState['phase']['state'];
}

/** What the machines of a seed share. */
export interface World {
  readonly cluster: string;
  /** `address:port` under which host functions reach the seed. */
  readonly address: () => string;
  /** The same of the cluster's other seed, where there is one. */
  readonly standby: string | undefined;
  /** The time of day, milliseconds, as new epochs begin with it. */
  readonly epochClock: () => number;
  /** Pre-shared key for a host's epoch, base64. */
  readonly secretOf: (host: string, epoch: number) => string;
  readonly invoke: Promise<Invoke>;
  readonly events: EventLog;
  readonly limits: Limits;
  readonly connections: Connections;
  /** Names of the hosts that cost now. */
  readonly costly: Set<string>;
  /** Names of the hosts that are suspended now. */
  readonly suspended: Set<string>;
  /** See `Moment.mayAllocate`. */
  readonly mayAllocate: () => boolean;
  /** A host function that an earlier seed started has joined this one. */
  readonly onReturn: () => void;
  /** A host begins or ends to be allocated or to run. `ran`: it was running before. */
  readonly onUp: (host: string, up: boolean, ran: boolean) => void;
  /** A host is allocated anew. */
  readonly onStart: (host: string) => void;
  /** Whether the host is up has changed, or which epoch of it. */
  readonly onStanding: (host: string, standing: Standing, epoch: number) => void;
  /** The host's phase, or something of it, has changed. */
  readonly onPhase: (host: string) => void;
  /** No supervisor of the host is to come back: see `isToReturn`. */
  readonly onOver: (host: string) => void;
  /** Guests of epochs before `oldest` have ended for certain. */
  readonly onEnded: (host: string, oldest: number) => void;
  /** Absent: no step is written. */
  readonly trace?: TraceWriter;
}

/** The request outlasts the function: its end is the function's own. */
const REQUEST_MARGIN = 30_000;

export class Machine {
  readonly nodeId: number;
  readonly #world: World;
  readonly #subscribers: Subscribers;
  readonly #timers = new Map<TimerName, NodeJS.Timeout>();
  /** Events that an effect has caused, until all effects before it are carried out. */
  readonly #events: MachineEvent[] = [];
  readonly #schedule: Schedule | undefined;
  readonly #orders = new Map<number, (result: CommandResult) => void>();
  /** Requests to end guests of earlier epochs that are open. */
  readonly #drains = new Set<AbortController>();
  #lastOrder = 0;
  #busy = false;
  #closed = false;
  #state: HostState;
  #invocation: { readonly number: number; readonly lifeline: Lifeline } | undefined;

  constructor(settings: Settings, nodeId: number, world: World) {
    this.nodeId = nodeId;
    this.#world = world;
    const at = performance.now();
    this.#state = imaginedHost(settings, at);
    world.trace?.write({ type: 'host', host: settings.entry.name, settings, at });
    const { wakeSchedule } = settings.entry;
    if (wakeSchedule !== undefined)
      this.#schedule = new Schedule(wakeSchedule, () => this.handle({ type: 'scheduled' }));
    this.#subscribers = new Subscribers((member, frame) => world.connections.send(member, frame));
  }

  get state(): HostState {
    return this.#state;
  }

  get entry() {
    return this.#state.settings.entry;
  }

  /** Resolves when the invocation that is open now has ended. */
  get invocationEnded(): Promise<void> | undefined {
    return this.#invocation?.lifeline.ended;
  }

  handle(event: MachineEvent): void {
    this.#events.push(event);
    if (this.#busy) return;
    this.#busy = true;
    try {
      for (let next = this.#events.shift(); next && !this.#closed; next = this.#events.shift()) this.#step(next);
    } finally {
      this.#busy = false;
    }
  }

  /** It has guests that are to end in order: a suspended host only if a command of its own is to run. */
  get endsInOrder(): boolean {
    const { state } = this.#state.phase;
    const { kind, onRelease } = this.entry;
    if (kind !== 'function') return false;
    return state === 'running' || state === 'allocating' || (state === 'suspended' && onRelease !== undefined);
  }

  /** Carries out what an operator wants. Resolves when it is done, or cannot be. */
  command(command: HostCommand): Promise<CommandResult> {
    const id = ++this.#lastOrder;
    return new Promise((resolve) => {
      this.#orders.set(id, resolve);
      this.handle({ type: 'command', id, command });
    });
  }

  /** A subscriber has taken the location of this version over. */
  acknowledge(member: MemberId, version: number): void {
    this.#subscribers.acknowledge(member, version, locationOf(this.#state));
    this.#countAcks();
  }

  /**
   * Sends the member where the host is, and what changes of that, if there is a port to connect to now.
   * @returns the epoch
   */
  tell(member: MemberId): number | undefined {
    const running = answering(this.#state);
    if (!running || !visiblePorts(running.session.ports).some(({ protocol }) => !protocol)) return undefined;
    this.#subscribers.tell(member, locationOf(this.#state));
    return running.epoch;
  }

  /** A member is gone: it waits for nothing, and can reach nothing, which counts as an acknowledgement. */
  forget(member: MemberId): void {
    this.handle({ type: 'gone', member });
    this.#subscribers.remove(member);
    this.#countAcks();
  }

  /** Closes what is open, for good. The host goes on running. */
  close(): void {
    this.#closed = true;
    this.#schedule?.close();
    this.#invocation?.lifeline.abandon();
    for (const request of this.#drains) request.abort();
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  #step(event: MachineEvent): void {
    const { mayAllocate, costly, suspended, epochClock, trace } = this.#world;
    const moment = {
      at: performance.now(),
      wall: epochClock(),
      random: Math.random(),
      mayAllocate: mayAllocate(),
    };
    const before = this.#state;
    const { state, effects } = step(this.#state, event, moment);
    this.#state = state;
    trace?.write({ type: 'step', host: this.entry.name, event, moment, effects });
    if (isToReturn(before) && !isToReturn(state)) this.#world.onOver(this.entry.name);
    keep(costly, this.entry.name, costs(state));
    keep(suspended, this.entry.name, state.phase.state === 'suspended');
    for (const effect of effects) this.#run(effect, before);
    const standing = standingOf(state);
    if (standing !== standingOf(before) || (standing !== 'left' && epochOf(state) !== epochOf(before))) {
      this.#world.onStanding(this.entry.name, standing, epochOf(state) ?? state.lastEpoch);
    }
    if (isStartedAnew(before, state)) this.#world.onStart(this.entry.name);
    if (state.phase !== before.phase) this.#world.onPhase(this.entry.name);
    if (state.oldest > before.oldest) this.#world.onEnded(this.entry.name, state.oldest);
  }

  #run(effect: Effect, before: HostState) {
    const { events, connections, limits, costly, onReturn, onUp } = this.#world;
    const { name } = this.entry;
    switch (effect.type) {
      case 'emit':
        return events.emit(name, effect.event, effect.detail, effect.source);
      case 'emitSaid':
        return events.emitSaid(name, effect.event, effect.detail);
      case 'send':
        return connections.send(effect.member, effect.frame);
      case 'answer':
        return connections.answer(effect.member, effect.frame);
      case 'dismiss':
        return connections.dismiss(effect.member, effect.reason);
      case 'destroy':
        return connections.destroy(effect.member);
      case 'subscribe':
        return this.#subscribers.add(effect.member);
      case 'tell':
        return this.#subscribers.tell(effect.member, effect.location);
      case 'publish':
        return this.#subscribers.publish(effect.location);
      case 'publishEnd':
        return this.#subscribers.publishEnd(effect.location);
      case 'awaitAcks':
        this.#subscribers.awaitAcks();
        return this.#countAcks();
      case 'seekStart': {
        const { cause } = effect;
        const excess = limits.take(cause.by, costly.size, cause.ahead);
        return this.handle(excess ? { type: 'startDenied', cause, excess } : { type: 'startGranted', cause });
      }
      case 'limited':
        return this.#reportLimited(effect);
      case 'invoke':
        return this.#invoke(effect);
      case 'drain':
        return void this.#drain(effect.epoch, effect.oldest);
      case 'up':
        return onUp(name, effect.up, before.phase.state === 'running');
      case 'commandReply': {
        const { id, ok, reason } = effect;
        this.#orders.get(id)?.({ ok, reason, state: this.#state.phase.state });
        this.#orders.delete(id);
        return;
      }
      case 'giveUp':
        return this.#invocation?.lifeline.giveUp();
      case 'returned':
        return onReturn();
      case 'startTimer':
        return this.#startTimer(effect.name, effect.delay);
      case 'cancelTimer':
        return this.#cancelTimer(effect.name);
      default:
        return effect satisfies never;
    }
  }

  #startTimer(name: TimerName, delay: number): void {
    clearTimeout(this.#timers.get(name));
    const fire = () => {
      this.#timers.delete(name);
      this.handle({ type: 'timer', name });
    };
    this.#timers.set(name, setTimeout(fire, delay));
  }

  #cancelTimer(name: TimerName): void {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }

  #countAcks(): void {
    const { phase } = this.#state;
    if (phase.state !== 'running' || phase.fence?.stage !== 'acks') return;
    this.handle({ type: 'acks', missing: this.#subscribers.missing });
  }

  #reportLimited({ by, refused, excess }: Extract<Effect, { type: 'limited' }>): void {
    const { events, limits } = this.#world;
    const { limit, allowed, reason } = excess;
    const all = limits.refused(by, refused);
    if (all !== undefined) events.emit(this.entry.name, 'limited', { by, limit, allowed, refused: all, reason }, by);
  }

  /** One try: what keeps the function busy is the host's new sandbox, where only one is allowed. */
  async #drain(epoch: number, oldest: number): Promise<void> {
    const { cluster, address, secretOf, invoke } = this.#world;
    const { name: host, functionName, pooled, timeout } = this.entry;
    const request = new AbortController();
    this.#drains.add(request);
    const limit = setTimeout(() => request.abort(), timeout + REQUEST_MARGIN);
    const invocation = { version: 1, cluster, host, epoch, oldest, action: 'drain', seed: address() } as const;
    const outcome = await invoke.then(
      (send) =>
        send(
          functionName!,
          { ...invocation, pooled: pooled || undefined, secret: secretOf(host, epoch) },
          request.signal,
        ),
      (error: Error) => ({ kind: 'denied', code: 'NoClient', message: error.message }) as const,
    );
    clearTimeout(limit);
    this.#drains.delete(request);
    this.handle({ type: 'drained', epoch, outcome });
  }

  #invoke({ number, epoch, fresh, oldest, action, notBefore }: Extract<Effect, { type: 'invoke' }>): void {
    const { cluster, address, standby, secretOf, invoke } = this.#world;
    const { name: host, functionName, pooled, timeout } = this.entry;
    const about = { number, epoch, action };
    const as = (one: number) => ({ epoch: one, secret: secretOf(host, one) });
    const lifeline = new Lifeline({
      functionName: functionName!,
      invocation: {
        ...{ version: 1, cluster, host, oldest, action, seed: address(), standby, ...as(epoch) },
        pooled: pooled || undefined,
        fresh: fresh === undefined ? undefined : as(fresh),
      },
      limit: timeout + REQUEST_MARGIN,
      invoke,
      previous: this.#invocation?.lifeline,
      notBefore,
      onSend: (attempt) => this.handle({ type: 'sent', ...about, attempt }),
      onThrottled: (reason, attempt) => this.handle({ type: 'throttled', ...about, attempt, reason }),
      onEnd: (outcome, repeated) => {
        if (this.#invocation?.number === number) this.#invocation = undefined;
        this.handle({ type: 'ended', ...about, repeated, outcome });
      },
    });
    this.#invocation = { number, lifeline };
  }
}

function keep(names: Set<string>, name: string, is: boolean): void {
  if (is) names.add(name);
  else names.delete(name);
}
