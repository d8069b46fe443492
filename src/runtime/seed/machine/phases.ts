/** The transitions from phase to phase: how each is entered, and what ends with it. */
import type { ConnectErrno } from '../../../contract/control/errno';
import { endLimit } from '../../../contract/manifest/end';
import type { Invocation, InvocationResult } from '../../../contract/platform/invocation';
import type { Excess } from '../allocator/limits';
import type { Detail } from '../operators/events';
import { applyRestartPolicy, postponeOwn } from './own-start';
import { type Cause, type EpochSession, type Failed, isEnding, MAX_TIMER, nextEpoch, visiblePorts } from './state';
import type { Turn } from './turn';
import { refuseOf, refuseUnopened, serve } from './waiters';
import { wakeForWaiters } from './wake';

const FIRST_BACK_OFF = 500;
const LAST_BACK_OFF = 30_000;
/**
 * After its supervisor's last word an invocation returns within this time: before, the same epoch would get a second
 * sandbox.
 */
const RETURN_LIMIT = 500;
/** A supervisor that has lost its connection, and no invocation to be known by, has this time to be back. */
const PROBE_DELAY = 100;
/**
 * A host that was given up, and that nobody needs meanwhile, may come back with its connections for so long. After that
 * it is refused.
 */
const DOUBT = 60_000;

function invoke(turn: Turn, epoch: number, action: Invocation['action'], fresh?: number): void {
  const { invocation, invocations, leftAt, minEpoch: oldest } = turn.state;
  const returns = epoch === turn.epoch && invocation?.epoch !== epoch && leftAt !== undefined;
  const number = invocations + 1;
  turn.set({ invocation: { number, epoch, fresh, throttled: false }, invocations: number });
  turn.do({ type: 'invoke', number, epoch, fresh, oldest, action, notBefore: returns ? leftAt + RETURN_LIMIT : 0 });
}

/** Invokes the sandbox that holds the epoch. One that does not hold it is to join as a fresh epoch. */
function invokeAgain(turn: Turn, epoch: number): void {
  const fresh = nextEpoch(turn.state, turn.moment.wall);
  turn.set({ lastEpoch: fresh });
  invoke(turn, epoch, 'run', fresh);
}

function mayStart({ phase, entry }: Turn): boolean {
  if (phase.state === 'imagined') return entry.kind === 'function';
  return phase.state === 'suspended' && !phase.releasing;
}

/**
 * imagined → allocating: a new epoch. suspended → allocating: the epoch is resumed. The budget has been charged for it.
 */
export function start(turn: Turn, cause: Cause): void {
  const { phase, moment, state } = turn;
  if (!mayStart(turn)) return;
  const { by, port, why, ahead = false } = cause;
  const deadline = moment.at + turn.entry.allocationTimeout;
  const common = { state: 'allocating', cause, deadline, session: undefined } as const;
  turn.set({ ahead });
  if (phase.state === 'imagined') {
    const epoch = nextEpoch(state, moment.wall);
    turn.enter({ ...common, epoch, resume: false, had: [] });
    turn.set({ lastEpoch: epoch, allocations: state.allocations + 1 });
    turn.emit('allocating', { by, port, epoch, ...(why && { why }) });
    invoke(turn, epoch, 'run');
  } else if (phase.state === 'suspended') {
    const { epoch, had } = phase;
    turn.enter({ ...common, epoch, resume: true, had });
    turn.emit('resuming', { by, port, epoch, ...(why && { why }) });
    invokeAgain(turn, epoch);
  }
}

/** The member that the start was for has used up its budget, or the cluster has: the member's waits end. */
export function refuseStart(turn: Turn, { by, ahead }: Cause, excess: Excess): void {
  if (!mayStart(turn)) return;
  const { limit, reason } = excess;
  if (ahead) {
    turn.emit('prefetch-denied', { by, limit, reason }, by);
    return;
  }
  const refused = refuseOf(turn, by, 'ENOBUFS', `'${turn.entry.name}' is not started: ${reason}`);
  turn.do({ type: 'limited', by, refused, excess });
  postponeOwn(turn);
  wakeForWaiters(turn);
}

/**
 * any → allocating: an epoch that an earlier seed started, or that joined by itself, becomes the host's.
 * @param givenUp this seed has started it, and has not heard of it for long
 */
export function adopt(turn: Turn, epoch: number, session: EpochSession, givenUp: boolean): void {
  const { state, phase, entry, moment } = turn;
  // A seed that was restarted has not counted it; one that has given it up, or a failed one, has.
  if (phase.state === 'imagined') {
    if (!givenUp) turn.set({ allocations: state.allocations + 1 });
    if (entry.kind === 'function') turn.do({ type: 'returned' });
  }
  turn.giveUp();
  turn.set({ lastEpoch: Math.max(state.lastEpoch, epoch) });
  const cause = { by: entry.name, port: null, since: moment.at };
  const deadline = moment.at + entry.allocationTimeout;
  turn.enter({ state: 'allocating', epoch, cause, resume: false, had: [], deadline, session });
}

/**
 * allocating, running → allocating: the platform gave a sandbox that does not hold the epoch. The epoch has ended, and
 * what joins is the next one, for which the invocation is open already.
 */
export function replace(turn: Turn, epoch: number, session: EpochSession): void {
  const { state, phase, entry, moment } = turn;
  if (!state.invocation || (phase.state !== 'allocating' && phase.state !== 'running')) return;
  turn.emit('replaced', { epoch, replaced: phase.epoch });
  const waits = phase.state === 'allocating';
  const ends = isEnding(state);
  const cause = waits ? phase.cause : { by: entry.name, port: null, since: moment.at };
  const deadline = waits ? phase.deadline : moment.at + entry.allocationTimeout;
  turn.set({
    allocations: state.allocations + 1,
    invocation: { ...state.invocation, epoch, fresh: undefined },
  });
  turn.enter({ state: 'allocating', epoch, cause, resume: false, had: [], deadline, session });
  turn.publishEnd();
  // The old sandbox is frozen, if it is there still. An invocation while the new one is busy is likely to get to it; if
  // it is gone, the platform makes another for nothing. So that is only done where something comes of it.
  if (entry.onDrain) turn.do({ type: 'drain', epoch: phase.epoch, oldest: state.oldest });
  if (!ends) return;
  run(turn, { listening: false });
  endRunning(turn, 'its release was ordered before');
}

/** allocating → running: the host can be connected to. */
export function run(turn: Turn, detail: Detail = {}): void {
  const { phase, moment } = turn;
  if (phase.state !== 'allocating' || !phase.session) return;
  const { epoch, session, resume } = phase;
  turn.enter({ state: 'running', epoch, session, fence: undefined });
  turn.set({ failures: 0, reason: undefined, own: undefined });
  const { by, port, since } = phase.cause;
  const took = Math.round((moment.at - since) * 10) / 10;
  if (resume) turn.emit('resumed', { epoch, by, port, resumeMs: took, ...detail });
  else {
    turn.set({ allocateMs: took });
    turn.emit('running', { epoch, by, port, allocateMs: took, ...detail });
  }
  turn.publish();
  serve(turn);
}

/** The time for an allocation is over: allocating → running or failed. */
export function onDeadline(turn: Turn) {
  const { phase, state, entry } = turn;
  if (phase.state !== 'allocating') return;
  // The host is up, and listens nowhere: each wait for a port has a deadline of its own.
  if (phase.session) return run(turn, { listening: false });
  const why = state.invocation?.throttled ? ': its function could not be started (429)' : '';
  lose(turn, `did not join within ${entry.allocationTimeout} ms${why}`);
}

/** allocating, running → suspended. */
export function suspended(turn: Turn) {
  const { phase, moment, session, state } = turn;
  if (phase.state !== 'allocating' && phase.state !== 'running') return;
  const { epoch } = phase;
  const had = visiblePorts(session?.ports ?? []);
  // The invocation has returned before the `leave` was heard. Should its sandbox run for another, it joins again.
  if (session?.peer !== undefined) turn.do({ type: 'destroy', member: session.peer });
  const ranMs = Math.round(moment.at - state.stateSince);
  const releaseAt = moment.at + Math.min(turn.entry.releaseTimeout, MAX_TIMER);
  // A supervisor that goes without a `suspend`: the subscribers have not been sent the location.
  const published = phase.state === 'running' && phase.fence !== undefined;
  const ends = isEnding(state);
  turn.enter({ state: 'suspended', epoch, had, releaseAt, releasing: false });
  turn.emit('suspended', { epoch, ranMs });
  // It was about to leave when its release was ordered.
  if (ends) return releaseGuests(turn);
  if (!published) turn.publish();
  wakeForWaiters(turn);
}

/** The host was suspended for long: its guests are stopped. */
export function releaseGuests(turn: Turn): void {
  const { phase } = turn;
  if (phase.state !== 'suspended' || phase.releasing) return;
  turn.enter({ ...phase, releasing: true });
  turn.emit('releasing', { epoch: phase.epoch });
  invoke(turn, phase.epoch, 'release');
}

/**
 * The host is to be released although it runs: its supervisor ends the guests, and leaves. Where no supervisor can be
 * told, the epoch ends without it.
 */
export function endRunning(turn: Turn, note: string) {
  const { phase, session, moment, entry, state } = turn;
  const away = session?.peer === undefined && (!state.invocation || state.invocation.throttled);
  if (phase.state !== 'running' || away) {
    turn.giveUp();
    return released(turn, { note });
  }
  if (isEnding(turn.state)) return;
  const known = phase.fence !== undefined;
  turn.enter({ ...phase, fence: { stage: 'ending', until: moment.at + endLimit(entry) } });
  turn.emit('ending', { epoch: phase.epoch, reason: note });
  if (!known) turn.publish();
  if (phase.fence?.stage === 'acks') replySuspend(turn, { ok: false, reason: note });
  orderRelease(turn);
}

/** Also again, when the supervisor may not have heard it. */
export function orderRelease(turn: Turn): void {
  const member = turn.session?.peer;
  if (member === undefined || !isEnding(turn.state)) return;
  turn.do({ type: 'send', member, frame: { type: 'release', reason: 'released by an operator' } });
}

/** The supervisor has not left in time: its epoch ends without it. */
export function onEndLimit(turn: Turn): void {
  if (!isEnding(turn.state)) return;
  turn.giveUp();
  released(turn, { note: `its supervisor has not left within ${endLimit(turn.entry)} ms` });
}

export function replySuspend(turn: Turn, how: { ok: boolean; reason?: string }): void {
  const member = turn.session?.peer;
  if (member !== undefined) turn.do({ type: 'send', member, frame: { type: 'suspendReply', ...how } });
}

/** any → imagined: the epoch has ended, and nothing of it may come back. */
function imagine(turn: Turn): void {
  const epoch = turn.epoch;
  turn.dismiss(`epoch ${epoch} has ended`);
  // A newer one may have been there as well: when an older one came back, it was not needed.
  turn.end(turn.state.lastEpoch);
  turn.enter({ state: 'imagined' });
  turn.publishEnd();
  wakeForWaiters(turn);
}

/** any → imagined: the guests were stopped on purpose. */
export function released(turn: Turn, detail: Detail = {}): void {
  turn.emit('released', { epoch: turn.epoch, ...detail });
  imagine(turn);
}

/** The guest has ended by itself: running → imagined when all was well, else → failed. */
export function exited(turn: Turn, end: Pick<InvocationResult, 'exitCode' | 'signal' | 'reason'>) {
  const { exitCode = null, signal = null } = end;
  const { epoch, phase, state } = turn;
  const how = signal ? `was ended by ${signal}` : exitCode === null ? 'has ended' : `exited with code ${exitCode}`;
  // What a shell would say of a command that it cannot start, and why.
  const started = !(end.reason && (exitCode === 126 || exitCode === 127));
  const reason = `the guest ${started ? how : 'could not be started'}${end.reason ? `: ${end.reason}` : ''}`;
  turn.emit('exited', { epoch, exitCode, signal, reason });
  turn.end(epoch ?? state.lastEpoch);
  const ranMs = phase.state === 'running' ? turn.moment.at - state.stateSince : 0;
  const ordered = isEnding(state);
  if (phase.state === 'running') {
    turn.set({ reason });
    refuseUnopened(turn, 'ECONNREFUSED', reason);
    imagine(turn);
  } else fail(turn, 'ECONNREFUSED', reason);
  if (!ordered) applyRestartPolicy(turn, exitCode !== 0, ranMs);
}

/**
 * The guest has failed, or the host can never be invoked: any → failed. Every wait is refused, and the next allocation
 * waits for the end of the back-off.
 */
export function fail(turn: Turn, errno: ConnectErrno, reason: string, detail: Detail = {}): void {
  enterFailed(turn, turn.state.failures, { errno, reason }, detail);
  serve(turn);
}

/**
 * The platform has failed: nobody's guest is to blame, and every wait stays. A host that ran, or that has failed once,
 * is imagined, and allocated again at once if a member waits. An allocation that fails again waits for the end of a
 * back-off: any → failed.
 */
export function lose(turn: Turn, reason: string, detail: Detail = {}) {
  const { state, phase } = turn;
  if (phase.state !== 'running' && state.failures > 0) {
    return enterFailed(turn, state.failures - 1, { reason }, detail);
  }
  turn.emit('failed', { epoch: turn.epoch, reason, backOffMs: 0, ...detail });
  turn.set({ failures: phase.state === 'running' ? 0 : 1, reason });
  turn.giveUp();
  turn.dismiss(reason);
  doubt(turn);
  turn.enter({ state: 'imagined' });
  turn.publishEnd();
  wakeForWaiters(turn);
}

/** The epoch may be out of reach: who has connections with it keeps them for a while. */
function doubt(turn: Turn): void {
  const { epoch, state, moment } = turn;
  if (epoch !== null && epoch >= state.oldest) turn.set({ doubt: { epoch, until: moment.at + DOUBT } });
}

/** It was not heard of again. */
export function endDoubt(turn: Turn): void {
  const { doubt: about } = turn.state;
  if (!about) return;
  turn.end(about.epoch);
  turn.publishEnd();
}

function enterFailed(turn: Turn, doublings: number, why: Pick<Failed, 'errno' | 'reason'>, detail: Detail): void {
  const { state, moment } = turn;
  const epoch = turn.epoch ?? state.lastEpoch;
  const worst = Math.min(LAST_BACK_OFF, FIRST_BACK_OFF * 2 ** doublings);
  const backOffMs = Math.round(worst * (0.75 + moment.random / 4));
  turn.set({ failures: state.failures + 1, reason: why.reason });
  turn.giveUp();
  turn.dismiss(why.reason);
  doubt(turn);
  turn.enter({ state: 'failed', epoch, ...why, retryAt: moment.at + backOffMs });
  turn.emit('failed', { epoch, ...why, backOffMs, ...detail });
  turn.publishEnd();
}

/** failed → imagined: the back-off is over. */
export function retry(turn: Turn): void {
  if (turn.phase.state !== 'failed') return;
  turn.enter({ state: 'imagined' });
  turn.publishEnd();
  wakeForWaiters(turn);
}

/** The function's time is up: it is invoked again into the same sandbox. The phase stays. */
export function renew(turn: Turn): void {
  const { epoch, session } = turn;
  if (epoch === null || !turn.entry.functionName) return;
  turn.emit('renewing', { epoch });
  invokeAgain(turn, epoch);
  if (session) loseConnection(turn);
}

/** Nothing says whether the host is there: its connection is lost, and no invocation is open. One finds out. */
export function probe(turn: Turn): void {
  const { epoch } = turn;
  turn.setSession({ probeAt: undefined });
  if (epoch === null || turn.state.invocation) return;
  turn.emit('probing', { epoch });
  invokeAgain(turn, epoch);
}

/** The supervisor is not connected any more: it has a limited time to be back. */
export function loseConnection(turn: Turn): void {
  const { session, state, moment, entry } = turn;
  if (session?.peer !== undefined) turn.do({ type: 'destroy', member: session.peer });
  const unknown = entry.kind === 'function' && !state.invocation;
  turn.setSession({
    peer: undefined,
    lostAt: session?.lostAt ?? moment.at + state.settings.lostAfter,
    probeAt: unknown ? moment.at + PROBE_DELAY : undefined,
  });
}
