/** Locates: which member waits for which port, and how each wait ends. */
import { hiddenPort } from '../../../contract/abi/shim';
import type { ConnectErrno } from '../../../contract/control/errno';
import type { TimerName, WaitTimer } from './effects';
import type { Locate } from './events';
import { type HostState, locationOf, portName, visiblePorts, type Waiter } from './state';
import type { Turn } from './turn';

export function waitTimer({ member, id }: Pick<Waiter, 'member' | 'id'>): WaitTimer {
  return `wait ${member}/${id}`;
}

export function isWaitTimer(name: TimerName): name is WaitTimer {
  return name.startsWith('wait ');
}

export function startWait(turn: Turn, { member, by, id, port, protocol, waited }: Locate): Waiter {
  const waiter: Waiter = { member, by, id, port, protocol, since: turn.moment.at - waited };
  turn.set({ waiters: [...turn.state.waiters, waiter] });
  const delay = Math.max(0, turn.entry.allocationTimeout - waited);
  turn.do({ type: 'startTimer', name: waitTimer(waiter), delay });
  return waiter;
}

/** Removes the waits of which this is true, without an answer. @returns them */
export function endWaits(turn: Turn, of: (waiter: Waiter) => boolean): readonly Waiter[] {
  const { waiters } = turn.state;
  const ended = waiters.filter(of);
  if (ended.length === 0) return ended;
  turn.set({ waiters: waiters.filter((waiter) => !of(waiter)) });
  for (const waiter of ended) turn.do({ type: 'cancelTimer', name: waitTimer(waiter) });
  return ended;
}

/** Answers, and refuses, what can be: the host's ports or its phase have changed. */
export function serve(turn: Turn) {
  const { state, phase } = turn;
  if (phase.state === 'failed') return refuseAll(turn, phase.errno, phase.reason);
  // Without its control connection the host may be anywhere: the locates wait until it is back or given up.
  if (phase.state !== 'running' || phase.fence || phase.session.peer === undefined) return;
  if (state.waiters.length === 0) return;
  const { ports, settled, settledDatagrams, expected } = phase.session;
  const open = new Map(visiblePorts(ports).map((p) => [portName(p), p.realPort]));
  /** Undefined: no answer yet. */
  const answerOf = (waiter: Waiter): number | 'refused' | undefined => {
    const realPort = open.get(portName(waiter));
    if (realPort !== undefined) return realPort;
    // The UDP ports are as they will be, or this one is of the kernel's choice: the kernel there knows whether to refuse.
    if (waiter.protocol === 'udp') return settled || settledDatagrams ? hiddenPort(waiter.port) : undefined;
    return settled && !expected?.includes(waiter.port) ? 'refused' : undefined;
  };
  const answers = new Map(state.waiters.map((waiter) => [waiter, answerOf(waiter)]));
  for (const waiter of endWaits(turn, (waiter) => answers.get(waiter) !== undefined)) {
    const answer = answers.get(waiter)!;
    if (answer === 'refused') refuse(turn, waiter, 'ECONNREFUSED', notOn(state, waiter.port));
    else locate(turn, waiter, answer);
  }
}

/** Ends every wait. */
export function refuseAll(turn: Turn, errno: ConnectErrno, reason: string): void {
  for (const waiter of endWaits(turn, () => true)) refuse(turn, waiter, errno, reason);
}

/** Ends the waits of one member, without an event for each. @returns how many those were */
export function refuseOf(turn: Turn, by: string, errno: ConnectErrno, reason: string): number {
  const ended = endWaits(turn, (waiter) => waiter.by === by);
  for (const waiter of ended) answerUnreachable(turn, waiter, errno, reason);
  return ended.length;
}

/** The deadline of one wait. */
export function waitIsOver(turn: Turn, name: WaitTimer): void {
  const [member, id] = name.slice('wait '.length).split('/').map(Number);
  for (const waiter of endWaits(turn, (waiter) => waiter.id === id && waiter.member === member)) {
    const { allocationTimeout } = turn.entry;
    const what = turn.phase.state === 'running' ? listensOn(turn.state) : `is still ${turn.phase.state}`;
    const reason = `'${turn.entry.name}' ${what}; waited ${allocationTimeout} ms for port ${waiter.port}`;
    refuse(turn, waiter, 'ETIMEDOUT', reason);
  }
}

function locate(turn: Turn, { member, by, id, port, since }: Waiter, realPort: number): void {
  turn.do({ type: 'subscribe', member });
  turn.do({ type: 'answer', member, frame: { type: 'located', id, location: locationOf(turn.state), realPort } });
  const waitedMs = Math.round(turn.moment.at - since);
  turn.emit('connected', { from: by, port, epoch: turn.epoch, waitedMs }, by);
}

function refuse(turn: Turn, waiter: Waiter, errno: ConnectErrno, reason: string): void {
  const { by, port, since } = waiter;
  answerUnreachable(turn, waiter, errno, reason);
  const waitedMs = Math.round(turn.moment.at - since);
  turn.emit('refused', { from: by, port, errno, reason, waitedMs }, by);
}

function answerUnreachable(turn: Turn, { member, id }: Waiter, errno: ConnectErrno, reason: string): void {
  turn.do({ type: 'answer', member, frame: { type: 'unreachable', id, errno, reason } });
}

function notOn(state: HostState, port: number): string {
  const { name, settleTime } = state.settings.entry;
  return `'${name}' ${listensOn(state)}, not on ${port}, and has opened no further port for ${settleTime} ms (settleTime)`;
}

function listensOn({ phase }: HostState): string {
  const ports = phase.state === 'running' ? visiblePorts(phase.session.ports) : [];
  const names = ports.map(({ port, protocol }) => (protocol ? `${port}/${protocol}` : `${port}`));
  return names.length === 0 ? 'listens on no port' : `listens on ${names.join(', ')}`;
}
