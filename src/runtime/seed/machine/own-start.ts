/**
 * Starts that no connect is the cause of: with a host that this one starts with, by the restart policy, by a
 * schedule, by an operator.
 */
import type { MachineEvent } from './events';
import { type Cause, isEnding, MAX_TIMER } from './state';
import type { Turn } from './turn';
import { wakeForWaiters } from './wake';

const FIRST_RESTART = 500;
const LAST_RESTART = 30_000;
/** A guest that has run for so long has not failed at once: the next restart comes as soon as the first did. */
const STEADY = 10_000;
/** A start that one of the cluster's limits forbids is tried again after this time. */
const LIMITED_RETRY = 5_000;

/** The host is to be started in `delay` milliseconds. An earlier start stands. */
export function startOwn(turn: Turn, why: string, delay = 0, by?: string): void {
  const { phase, state, moment } = turn;
  if (phase.state === 'allocating' || (phase.state === 'running' && !isEnding(state))) return;
  const at = delay > 0 ? moment.at + delay : undefined;
  const { own } = state;
  if (!own || (own.at !== undefined && (at === undefined || at < own.at))) turn.set({ own: { why, at, by } });
  wakeForWaiters(turn);
}

/** A timer of the suspended host's guests is due in so many milliseconds. */
export function wakeAt(turn: Turn, wakeIn: number): void {
  const { phase, state, moment } = turn;
  if (phase.state !== 'suspended' || state.own || wakeIn > MAX_TIMER) return;
  turn.set({ own: { why: 'a timer of its guests', at: moment.at + wakeIn } });
}

/** The time for it has come. */
export function onStartTime(turn: Turn): void {
  const { own } = turn.state;
  if (own) turn.set({ own: { ...own, at: undefined } });
  wakeForWaiters(turn);
}

/** The guest has ended, which may be a reason to start it again. Called once its epoch has ended. */
export function applyRestartPolicy(turn: Turn, failed: boolean, ranMs: number): void {
  const { restartPolicy } = turn.entry;
  if (turn.entry.kind === 'instance' || restartPolicy === 'never' || (restartPolicy === 'on-failure' && !failed))
    return;
  const restarts = ranMs >= STEADY ? 0 : turn.state.restarts;
  const worst = Math.min(LAST_RESTART, FIRST_RESTART * 2 ** restarts);
  const delay = Math.round(worst * (0.75 + turn.moment.random / 4));
  turn.set({ restarts: restarts + 1 });
  turn.emit('restarting', { restartPolicy, delayMs: delay });
  startOwn(turn, `restartPolicy '${restartPolicy}'`, delay);
}

/** A host that this one starts with begins or ends to run. */
export function onCompanion(turn: Turn, { name, up }: Extract<MachineEvent, { type: 'companion' }>): void {
  const others = turn.state.companions.filter((other) => other !== name);
  turn.set({ companions: up ? [...others, name] : others });
  if (up) startOwn(turn, `starts with '${name}'`);
}

/** A host that is likely to connect to this one is started. A start that is refused, or comes too late, is no loss. */
export function onPrefetch(turn: Turn, { by }: Extract<MachineEvent, { type: 'prefetch' }>): void {
  const { phase, entry, moment } = turn;
  const sleeps = phase.state === 'imagined' || (phase.state === 'suspended' && !phase.releasing);
  if (!sleeps || !moment.mayAllocate || entry.kind !== 'function') return;
  const cause: Cause = { by, port: null, since: moment.at, why: `prefetched with '${by}'`, ahead: true };
  turn.do({ type: 'seekStart', cause });
}

/** A start barrier names the host: it is started for it, and not any more when nobody waits there. */
export function onAwaited(turn: Turn, { by, is }: Extract<MachineEvent, { type: 'awaited' }>): void {
  const { own } = turn.state;
  if (!is && own?.by === by) turn.set({ own: undefined });
  if (is && turn.entry.kind === 'function') startOwn(turn, `'${by}' waits at a start barrier`, 0, by);
}

/** The start was refused: what is not wanted by a connect is tried again. */
export function postponeOwn(turn: Turn): void {
  const { own } = turn.state;
  if (own) turn.set({ own: { ...own, at: turn.moment.at + LIMITED_RETRY } });
}
