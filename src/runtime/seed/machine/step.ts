/** The life cycle of a host: one pure function. */
import { endOrder, onCommand, settleOrders } from './commands';
import type { Effect, PhaseTimer, TimerName } from './effects';
import type { Locate, MachineEvent, Moment, SessionEvent } from './events';
import { expectLocated } from './expected';
import { onDrained, onEnded, onSent, onThrottled } from './invocations';
import { giveUp, onJoin, onLeave, onLost } from './joins';
import { onAwaited, onCompanion, onPrefetch, onStartTime, startOwn } from './own-start';
import { endDoubt, onDeadline, onEndLimit, probe, refuseStart, releaseGuests, retry, start } from './phases';
import { onHeld, onNatReport, onReport, setPorts } from './ports';
import { type HostState, isUp } from './state';
import { onAckLimit, onAcks, onStay, onSuspend } from './suspension';
import { Turn, timersOf } from './turn';
import { answerOrWait, endWait, isWaitTimer, removeWaits, serve, waitIsOver } from './waiters';
import { wake, wakeForWaiters } from './wake';
import { onData, onWatch } from './watches';

export interface Step {
  readonly state: HostState;
  readonly effects: readonly Effect[];
}

/**
 * What becomes of a host by an event. Depends on nothing else, and changes nothing: neither the state nor anything
 * outside.
 */
export function step(state: HostState, event: MachineEvent, moment: Moment): Step {
  const turn = new Turn(state, moment);
  apply(turn, event);
  settleOrders(turn);
  const up = isUp(turn.state);
  if (up !== isUp(state)) turn.do({ type: 'up', up });
  setTimers(turn, state, event);
  return { state: turn.state, effects: turn.effects };
}

function apply(turn: Turn, event: MachineEvent) {
  switch (event.type) {
    case 'locate':
      return onLocate(turn, event);
    case 'cancel':
      return void endWait(turn, event.member, event.id);
    case 'data':
      return onData(turn, event);
    case 'watch':
      return onWatch(turn, event);
    case 'gone':
      return void removeWaits(turn, ({ member }) => member === event.member);
    case 'wake':
      return wakeForWaiters(turn);
    case 'startGranted':
      return start(turn, event.cause);
    case 'startDenied':
      return refuseStart(turn, event.cause, event.excess);
    case 'acks':
      return onAcks(turn, event.missing);
    case 'companion':
      return onCompanion(turn, event);
    case 'prefetch':
      return onPrefetch(turn, event);
    case 'awaited':
      return onAwaited(turn, event);
    case 'scheduled':
      return startOwn(turn, `wakeSchedule '${turn.entry.wakeSchedule}'`);
    case 'command':
      return onCommand(turn, event);
    case 'timer':
      return onTimer(turn, event.name);
    case 'sent':
      return onSent(turn, event);
    case 'throttled':
      return onThrottled(turn, event);
    case 'ended':
      return onEnded(turn, event);
    case 'drained':
      return onDrained(turn, event);
    case 'join':
      return onJoin(turn, event);
    default:
      return turn.session?.peer === event.member ? applyOfSession(turn, event) : undefined;
  }
}

function applyOfSession(turn: Turn, event: SessionEvent) {
  switch (event.type) {
    case 'ports':
      turn.setSession({ settledDatagrams: event.settledDatagrams });
      return setPorts(turn, event.ports, event.settled);
    case 'natReport':
      return onNatReport(turn, event.nat);
    case 'report':
      return onReport(turn, event);
    case 'held':
      return onHeld(turn, event);
    case 'suspend':
      return onSuspend(turn);
    case 'stay':
      return onStay(turn);
    case 'leave':
      return onLeave(turn, event.frame);
    case 'lost':
      return onLost(turn, event.reason);
    default:
      return event satisfies never;
  }
}

function onLocate(turn: Turn, event: Locate) {
  const { port, waited, protocol } = event;
  if (!protocol) expectLocated(turn, port, turn.moment.at - waited);
  const waiter = answerOrWait(turn, event);
  if (waiter) wake(turn, waiter);
}

function onTimer(turn: Turn, name: TimerName) {
  if (isWaitTimer(name)) return waitIsOver(turn, name);
  if (timersOf(turn.state)[name] === undefined) return;
  switch (name) {
    case 'deadline':
      return onDeadline(turn);
    case 'lost':
      return giveUp(turn);
    case 'probe':
      return probe(turn);
    case 'expect':
      turn.setSession({ expected: undefined, expectUntil: undefined });
      return serve(turn);
    case 'acks':
      return onAckLimit(turn);
    case 'release':
      return releaseGuests(turn);
    case 'retry':
      return retry(turn);
    case 'start':
      return onStartTime(turn);
    case 'doubt':
      return endDoubt(turn);
    case 'order':
      return endOrder(turn);
    case 'end':
      return onEndLimit(turn);
    default:
      return name satisfies never;
  }
}

/** Timers of a phase run exactly while the state says so, whatever the transition was. */
function setTimers(turn: Turn, before: HostState, event: MachineEvent): void {
  const had = timersOf(before);
  const has = timersOf(turn.state);
  const fired = event.type === 'timer' ? event.name : undefined;
  for (const name of Object.keys({ ...had, ...has }) as PhaseTimer[]) {
    const due = has[name];
    if (due === had[name]) continue;
    if (due !== undefined) turn.do({ type: 'startTimer', name, delay: due - turn.moment.at });
    else if (name !== fired) turn.do({ type: 'cancelTimer', name });
  }
}
