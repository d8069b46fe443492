import type { Detail } from '../operators/events';
import type { Effect, PhaseTimer } from './effects';
import type { Moment } from './events';
import { type EpochSession, epochOf, type Fence, type HostState, locationOf, type Phase, sessionOf } from './state';

/** One step while it is being made: the state so far, and its effects. States are replaced, never changed. */
export class Turn {
  readonly effects: Effect[] = [];
  readonly moment: Moment;
  #state: HostState;

  constructor(state: HostState, moment: Moment) {
    this.#state = state;
    this.moment = moment;
  }

  get state(): HostState {
    return this.#state;
  }

  get phase(): Phase {
    return this.#state.phase;
  }

  get entry() {
    return this.#state.settings.entry;
  }

  get session(): EpochSession | undefined {
    return sessionOf(this.#state);
  }

  get epoch(): number | null {
    return epochOf(this.#state);
  }

  set(change: Partial<Omit<HostState, 'stateSince'>>): void {
    const { at } = this.moment;
    const began = change.phase && change.phase.state !== this.phase.state;
    const held = this.session?.heldBy;
    this.#state = { ...this.#state, ...change, ...(began && { stateSince: at }) };
    if (held && !this.session?.heldBy) this.#state = { ...this.#state, lastHeldBy: { ...held, until: at } };
  }

  enter(phase: Phase): void {
    this.set({ phase });
  }

  /** Changes the session of the current epoch, if there is one. */
  setSession(change: Partial<EpochSession>): void {
    const { phase } = this;
    if ((phase.state !== 'allocating' && phase.state !== 'running') || !phase.session) return;
    this.enter({ ...phase, session: { ...phase.session, ...change } });
  }

  do(effect: Effect): void {
    this.effects.push(effect);
  }

  emit(event: string, detail?: Detail, source?: string): void {
    this.do({ type: 'emit', event, detail, source });
  }

  emitSaid(event: string, detail: Detail): void {
    this.do({ type: 'emitSaid', event, detail });
  }

  publish(): void {
    this.do({ type: 'publish', location: locationOf(this.#state) });
  }

  publishEnd(): void {
    this.do({ type: 'publishEnd', location: locationOf(this.#state) });
  }

  /** The epoch has ended for certain, and its guests with it. */
  end(epoch: number): void {
    const { minEpoch, oldest } = this.#state;
    this.set({ minEpoch: Math.max(minEpoch, epoch + 1), oldest: Math.max(oldest, epoch + 1), doubt: undefined });
  }

  /** The open invocation is not tried again, and its end concerns nobody. */
  giveUp(): void {
    if (!this.#state.invocation) return;
    this.set({ invocation: undefined });
    this.do({ type: 'giveUp' });
  }

  /** Tells the supervisor to stop: its epoch has ended. */
  dismiss(reason: string): void {
    const member = this.session?.peer;
    if (member === undefined) return;
    this.setSession({ peer: undefined });
    this.do({ type: 'dismiss', member, reason });
  }
}

/** The timers that run in a state, and when they are due. */
export function timersOf(state: HostState): Partial<Record<PhaseTimer, number>> {
  const { orders, doubt } = state;
  return { ...timersOfPhase(state), order: orders.length > 0 ? orders[0].due : undefined, doubt: doubt?.until };
}

function timersOfPhase({ phase, own }: HostState): Partial<Record<PhaseTimer, number>> {
  switch (phase.state) {
    case 'imagined':
      return { start: own?.at };
    case 'allocating':
      return { deadline: phase.deadline, ...timersOfSession(phase.session) };
    case 'running':
      return { ...timersOfFence(phase.fence), ...timersOfSession(phase.session) };
    case 'suspended':
      return phase.releasing ? {} : { release: phase.releaseAt, start: own?.at };
    case 'failed':
      return { retry: phase.retryAt };
    default:
      return phase satisfies never;
  }
}

function timersOfFence(fence: Fence | undefined): Partial<Record<PhaseTimer, number>> {
  switch (fence?.stage) {
    case 'acks':
      return { acks: fence.until };
    case 'ending':
      return { end: fence.until };
    default:
      return {};
  }
}

function timersOfSession(session: EpochSession | undefined): Partial<Record<PhaseTimer, number>> {
  return { lost: session?.lostAt, probe: session?.probeAt, expect: session?.expectUntil };
}
