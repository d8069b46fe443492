/** Locates: which member waits for which port, and how each wait ends. */
import { hiddenPort } from '../../../contract/abi/shim';
import type { ConnectErrno } from '../../../contract/control/errno';
import type { TimerName, WaitTimer } from './effects';
import type { Locate } from './events';
import { type HostState, locationOf, type MemberId, portName, type Running, visiblePorts, type Waiter } from './state';
import type { Turn } from './turn';

export function waitTimer({ member, id }: Pick<Waiter, 'member' | 'id'>): WaitTimer {
  return `wait ${member}/${id}`;
}

export function isWaitTimer(name: TimerName): name is WaitTimer {
  return name.startsWith('wait ');
}

/** How a wait ends. */
type Answer = { readonly realPort: number } | { readonly errno: ConnectErrno; readonly reason: string };

/** Answers the locate at once, where that is possible. @returns the waiter, if it has to wait */
export function answerOrWait(turn: Turn, locate: Locate): Waiter | undefined {
  const { member, by, id, port, protocol, waited } = locate;
  const waiter: Waiter = { member, by, id, port, protocol, since: turn.moment.at - waited };
  const answer = answersIn(turn.state)(waiter);
  if (answer) {
    give(turn, waiter, answer);
    return undefined;
  }
  turn.set({ waiters: turn.state.waiters.concat(waiter) });
  const delay = Math.max(0, turn.entry.allocationTimeout - waited);
  turn.do({ type: 'startTimer', name: waitTimer(waiter), delay });
  return waiter;
}

/** Ends one wait without an answer. @returns it, if it waited still */
export function endWait(turn: Turn, member: MemberId, id: number): Waiter | undefined {
  const { waiters } = turn.state;
  const index = waiters.findIndex((waiter) => waiter.id === id && waiter.member === member);
  if (index < 0) return undefined;
  const others = waiters.slice();
  others.splice(index, 1);
  turn.set({ waiters: others });
  turn.do({ type: 'cancelTimer', name: waitTimer({ member, id }) });
  return waiters[index];
}

/** Answers, and refuses, what can be: the host's ports or its phase have changed. */
export function serve(turn: Turn): void {
  if (turn.state.waiters.length > 0) endWaits(turn, answersIn(turn.state));
}

/** Ends every wait. */
export function refuseAll(turn: Turn, errno: ConnectErrno, reason: string): void {
  endWaits(turn, () => ({ errno, reason }));
}

/** Ends the waits for ports that the guest has not opened: it has ended. What it did open, its next epoch will. */
export function refuseUnopened(turn: Turn, errno: ConnectErrno, reason: string): void {
  const open = new Set(visiblePorts(turn.session?.ports ?? []).map(portName));
  endWaits(turn, (waiter) => (open.has(portName(waiter)) ? undefined : { errno, reason }));
}

/** Ends the waits of one member, without an event for each. @returns how many those were */
export function refuseOf(turn: Turn, by: string, errno: ConnectErrno, reason: string): number {
  const own = removeWaits(turn, (waiter) => waiter.by === by);
  for (const waiter of own) answerUnreachable(turn, waiter, errno, reason);
  return own.length;
}

/** Removes waits without an answer. @returns them */
export function removeWaits(turn: Turn, which: (waiter: Waiter) => boolean): readonly Waiter[] {
  const removed: Waiter[] = [];
  const kept: Waiter[] = [];
  for (const waiter of turn.state.waiters) (which(waiter) ? removed : kept).push(waiter);
  if (removed.length > 0) turn.set({ waiters: kept });
  for (const waiter of removed) turn.do({ type: 'cancelTimer', name: waitTimer(waiter) });
  return removed;
}

/** The deadline of one wait. */
export function waitIsOver(turn: Turn, name: WaitTimer): void {
  const [member, id] = name.slice('wait '.length).split('/').map(Number);
  const waiter = endWait(turn, member, id);
  if (!waiter) return;
  const { allocationTimeout } = turn.entry;
  const reason = `'${turn.entry.name}' ${whyLate(turn)}; waited ${allocationTimeout} ms for port ${waiter.port}`;
  give(turn, waiter, { errno: 'ETIMEDOUT', reason });
}

function endWaits(turn: Turn, answerTo: (waiter: Waiter) => Answer | undefined) {
  const answers = new Map<Waiter, Answer>();
  removeWaits(turn, (waiter) => {
    const answer = answerTo(waiter);
    if (answer) answers.set(waiter, answer);
    return answer !== undefined;
  });
  for (const [waiter, answer] of answers) give(turn, waiter, answer);
}

/** The host runs, and a locate of a port that is open is answered at once. Undefined: not in this state. */
export function answering({ phase }: HostState): Running | undefined {
  // Without its control connection the host may be anywhere: the locates wait until it is back or given up.
  return phase.state === 'running' && !phase.fence && phase.session.peer !== undefined ? phase : undefined;
}

/** By name. */
const openPorts = ({ session }: Running): ReadonlyMap<string, number> =>
  new Map(visiblePorts(session.ports).map((p) => [portName(p), p.realPort]));

/** Where every connect to that TCP port goes until the phase changes. Undefined: each one is to ask. */
export function reachedAt(state: HostState, port: number): { address: string; realPort: number } | undefined {
  const running = answering(state);
  const realPort = running && openPorts(running).get(portName({ port }));
  const { address } = locationOf(state);
  return address === undefined || realPort === undefined ? undefined : { address, realPort };
}

/** How waits end in this state. Undefined: not yet. */
function answersIn(state: HostState): (waiter: Waiter) => Answer | undefined {
  const { phase } = state;
  if (phase.state === 'failed') {
    const { errno, reason } = phase;
    return () => (errno ? { errno, reason } : undefined);
  }
  const running = answering(state);
  if (!running) return () => undefined;
  const open = openPorts(running);
  const { settled, settledDatagrams, expected } = running.session;
  return (waiter) => {
    const realPort = open.get(portName(waiter));
    if (realPort !== undefined) return { realPort };
    // The UDP ports are as they will be, or this one is of the kernel's choice: the kernel there knows whether to
    // refuse.
    if (waiter.protocol === 'udp')
      return settled || settledDatagrams ? { realPort: hiddenPort(waiter.port) } : undefined;
    if (!settled || expected?.includes(waiter.port)) return undefined;
    return { errno: 'ECONNREFUSED', reason: notOn(state, waiter.port) };
  };
}

function give(turn: Turn, waiter: Waiter, answer: Answer) {
  const { member, by, id, port, since } = waiter;
  const waitedMs = Math.round(turn.moment.at - since);
  if ('errno' in answer) {
    const { errno, reason } = answer;
    answerUnreachable(turn, waiter, errno, reason);
    return turn.emit('refused', { from: by, port, errno, reason, waitedMs }, by);
  }
  const { realPort } = answer;
  turn.do({ type: 'subscribe', member });
  turn.do({ type: 'answer', member, frame: { type: 'located', id, location: locationOf(turn.state), realPort } });
  turn.emit('connected', { from: by, port, epoch: turn.epoch, waitedMs }, by);
}

function answerUnreachable(turn: Turn, { member, id }: Waiter, errno: ConnectErrno, reason: string): void {
  turn.do({ type: 'answer', member, frame: { type: 'unreachable', id, errno, reason } });
}

function whyLate({ phase, state, session, entry }: Turn): string {
  const { invocation, reason } = state;
  const { notReady } = session ?? {};
  if (notReady !== undefined) return `is not ready: ${notReady}`;
  if (phase.state === 'running') return listensOn(state);
  if (phase.state === 'failed') return `could not be allocated: ${phase.reason}`;
  if (phase.state === 'imagined' && entry.kind === 'instance') {
    return `is a host instance that has not joined${reason === undefined ? '' : ` (before: ${reason})`}`;
  }
  const throttled = invocation?.throttled ? ': its function could not be started (429)' : '';
  const before = !throttled && reason !== undefined ? ` (before: ${reason})` : '';
  return `is still ${phase.state}${throttled}${before}`;
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
