/** Every state of a host's machine that the code tells apart, and every event, each with a name for tables. */

import { type ManifestHost, parseManifest } from '../../../../src/contract/manifest';
import type { InvocationResult } from '../../../../src/contract/platform/invocation';
import type { Effect } from '../../../../src/runtime/seed/machine/effects';
import type { MachineEvent, Moment } from '../../../../src/runtime/seed/machine/events';
import { type HostState, imaginedHost, sessionOf } from '../../../../src/runtime/seed/machine/state';
import { type Step, step } from '../../../../src/runtime/seed/machine/step';
import { mapping } from '../cluster';

/** Numbers of members: the supervisor that has joined, another one, and two that locate. */
export const SUPERVISOR = 1;
export const OTHER = 2;
export const ANNA = 11;
export const BERT = 12;
/** The time of day, which is the first epoch. */
export const EPOCH = 1_000;

export function moment(at = 0): Moment {
  return { at, wall: EPOCH, random: 0, mayAllocate: true };
}

export function newHost(kind: 'function' | 'instance' = 'function', more: Partial<ManifestHost> = {}): HostState {
  const own = kind === 'function' ? { functionName: 'test-api', command: ['guest'] } : { kind };
  const { hosts } = parseManifest({ version: 1, cluster: { name: 'test' }, hosts: [{ name: 'api', ...own, ...more }] });
  return imaginedHost({ entry: hosts[0], lostAfter: 10_000, expectLimit: 10_000 }, 0);
}

const api = { epoch: EPOCH, life: 'a', ports: [] } as const;
const excess = { limit: 'maxRunningHosts', allowed: 1, reason: 'too many hosts run' } as const;
const cause = { by: 'anna', port: 80, since: 0 };
const of = { number: 1, epoch: EPOCH, action: 'run' } as const;
const release = { number: 2, action: 'release' } as const;
const ended = { type: 'ended', ...of, repeated: false } as const;
type Of<T extends MachineEvent['type']> = Extract<MachineEvent, { type: T }>;
const result = (outcome: InvocationResult['outcome'], exitCode?: number): Of<'ended'> => ({
  ...ended,
  outcome: { kind: 'result', result: { host: 'api', epoch: EPOCH, outcome, exitCode } },
});
const leave = (outcome: InvocationResult['outcome'], exitCode?: number): Of<'leave'> => ({
  type: 'leave',
  member: SUPERVISOR,
  frame: { type: 'leave', outcome, exitCode },
});
const nat = { kind: 'unknown', reflexiveAddress: '192.0.2.1', localAddress: '10.0.0.1', ports: [1, 1] } as const;

/** By type, so that none is forgotten. */
const BY_TYPE: { readonly [T in MachineEvent['type']]: Readonly<Record<string, Of<T>>> } = {
  locate: {
    'locate 80': { type: 'locate', member: BERT, by: 'bert', id: 7, port: 80, waited: 0 },
    'locate 81': { type: 'locate', member: BERT, by: 'bert', id: 7, port: 81, waited: 0 },
    'locate 80/udp': { type: 'locate', member: BERT, by: 'bert', id: 7, port: 80, waited: 0, protocol: 'udp' },
  },
  watch: {
    watch: { type: 'watch', member: BERT, epoch: EPOCH },
    'watch an older epoch': { type: 'watch', member: BERT, epoch: 1 },
    'watch a newer epoch': { type: 'watch', member: BERT, epoch: EPOCH + 1 },
  },
  data: {
    data: { type: 'data', by: 'bert', epoch: EPOCH },
    'data, present epoch': { type: 'data', by: 'bert', epoch: 0 },
    'data, older epoch': { type: 'data', by: 'bert', epoch: 1 },
    'data, newer epoch': { type: 'data', by: 'bert', epoch: EPOCH + 9 },
  },
  cancel: { cancel: { type: 'cancel', member: ANNA, id: 1 } },
  gone: { gone: { type: 'gone', member: ANNA } },
  wake: { wake: { type: 'wake' } },
  startGranted: { startGranted: { type: 'startGranted', cause } },
  startDenied: {
    startDenied: { type: 'startDenied', cause, excess },
    'startDenied, ahead': { type: 'startDenied', cause: { ...cause, ahead: true }, excess },
  },
  join: {
    'join again': { type: 'join', member: OTHER, ...api },
    'join, life b': { type: 'join', member: OTHER, ...api, life: 'b' },
    'join, older epoch': { type: 'join', member: OTHER, ...api, epoch: EPOCH - 1 },
    'join, fresh epoch': { type: 'join', member: OTHER, ...api, epoch: EPOCH + 1 },
    'join, newer epoch': { type: 'join', member: OTHER, ...api, epoch: EPOCH + 9 },
  },
  ports: {
    'ports none': { type: 'ports', member: SUPERVISOR, ports: [], settled: false },
    'ports 80, 81': { type: 'ports', member: SUPERVISOR, ports: [mapping(80), mapping(81)], settled: false },
    'ports settled': { type: 'ports', member: SUPERVISOR, ports: [mapping(82)], settled: true },
    'ports of other': { type: 'ports', member: OTHER, ports: [mapping(80)], settled: true },
  },
  natReport: {
    natReport: { type: 'natReport', member: SUPERVISOR, nat },
    'natReport of other': { type: 'natReport', member: OTHER, nat },
  },
  report: {
    'report started': { type: 'report', member: SUPERVISOR, event: 'guest-started', detail: {} },
    'report other': { type: 'report', member: SUPERVISOR, event: 'not-listening', detail: {} },
    'report of other': { type: 'report', member: OTHER, event: 'guest-started', detail: {} },
  },
  held: {
    held: { type: 'held', member: SUPERVISOR, by: 'cpu' },
    'held of other': { type: 'held', member: OTHER, by: 'cpu' },
  },
  suspend: {
    suspend: { type: 'suspend', member: SUPERVISOR },
    'suspend of other': { type: 'suspend', member: OTHER },
  },
  stay: { stay: { type: 'stay', member: SUPERVISOR }, 'stay of other': { type: 'stay', member: OTHER } },
  leave: {
    'leave suspended': leave('suspended'),
    'leave with a timer': {
      type: 'leave',
      member: SUPERVISOR,
      frame: { type: 'leave', outcome: 'suspended', wakeIn: 5 },
    },
    'leave exited 0': leave('exited', 0),
    'leave exited 1': leave('exited', 1),
    'leave released': leave('released'),
    'leave fenced': leave('fenced'),
    'leave renew': leave('renew'),
    'leave of other': { ...leave('released'), member: OTHER },
  },
  lost: {
    lost: { type: 'lost', member: SUPERVISOR, reason: 'closed' },
    'lost of other': { type: 'lost', member: OTHER, reason: 'closed' },
  },
  acks: { 'acks 0': { type: 'acks', missing: 0 }, 'acks 2': { type: 'acks', missing: 2 } },
  sent: { sent: { type: 'sent', ...of, attempt: 1 } },
  throttled: {
    throttled: { type: 'throttled', ...of, attempt: 1, reason: 'busy' },
    'throttled release': { type: 'throttled', ...of, ...release, attempt: 6, reason: 'busy' },
  },
  ended: {
    'ended suspended': result('suspended'),
    'ended exited 0': result('exited', 0),
    'ended exited 1': result('exited', 1),
    'ended released': result('released'),
    'ended fenced': result('fenced'),
    'ended renew': result('renew'),
    'ended error': { ...ended, outcome: { kind: 'function-error', error: 'Crash', message: 'out of memory' } },
    'ended broken': { ...ended, outcome: { kind: 'broken', code: 'EPIPE', message: 'reset' } },
    'ended denied': { ...ended, outcome: { kind: 'denied', code: 'AccessDenied', message: 'no' } },
    'ended release': { ...result('released'), ...release },
    'ended 2 error': { ...ended, number: 2, outcome: { kind: 'function-error', error: 'Crash', message: 'gone' } },
    'ended 2 broken': { ...ended, number: 2, outcome: { kind: 'broken', code: 'EPIPE', message: 'reset' } },
    'ended 2 fenced': { ...result('fenced'), number: 2 },
    'ended older': { ...result('released'), number: 0, epoch: EPOCH - 1 },
  },
  drained: {
    drained: { type: 'drained', epoch: EPOCH - 1, outcome: result('released').outcome },
    'drained broken': { type: 'drained', epoch: EPOCH - 1, outcome: { kind: 'throttled', reason: 'busy' } },
  },
  companion: {
    'companion up': { type: 'companion', name: 'db', up: true },
    'companion down': { type: 'companion', name: 'db', up: false },
  },
  prefetch: { prefetch: { type: 'prefetch', by: 'web' } },
  awaited: {
    awaited: { type: 'awaited', by: 'bert', is: true },
    'not awaited': { type: 'awaited', by: 'bert', is: false },
  },
  scheduled: { scheduled: { type: 'scheduled' } },
  command: {
    'order start': { type: 'command', id: 1, command: 'start' },
    'order wake': { type: 'command', id: 2, command: 'wake' },
    'order release': { type: 'command', id: 3, command: 'release' },
    'order stop': { type: 'command', id: 4, command: 'stop' },
  },
  timer: {
    'timer deadline': { type: 'timer', name: 'deadline' },
    'timer lost': { type: 'timer', name: 'lost' },
    'timer probe': { type: 'timer', name: 'probe' },
    'timer expect': { type: 'timer', name: 'expect' },
    'timer acks': { type: 'timer', name: 'acks' },
    'timer release': { type: 'timer', name: 'release' },
    'timer retry': { type: 'timer', name: 'retry' },
    'timer start': { type: 'timer', name: 'start' },
    'timer doubt': { type: 'timer', name: 'doubt' },
    'timer end': { type: 'timer', name: 'end' },
    'timer order': { type: 'timer', name: 'order' },
    'timer wait': { type: 'timer', name: `wait ${ANNA}/1` },
  },
};

export const EVENTS: Readonly<Record<string, MachineEvent>> = Object.assign({}, ...Object.values(BY_TYPE));

const anna: MachineEvent = { type: 'locate', member: ANNA, by: 'anna', id: 1, port: 80, waited: 0 };
const { startGranted, lost, suspend } = EVENTS;
const joins: MachineEvent = { type: 'join', member: SUPERVISOR, ...api };
const listens: MachineEvent = { type: 'ports', member: SUPERVISOR, ports: [mapping(80)], settled: false };

/** The state after these events, one of which comes each millisecond. */
export function after(state: HostState, ...events: readonly MachineEvent[]): HostState {
  return events.reduce((before, event, i) => step(before, event, moment(i)).state, state);
}

const allocating = after(newHost(), anna, startGranted);
const running = after(allocating, joins, listens);
const suspended = after(running, suspend, EVENTS['acks 0'], EVENTS['leave suspended']);
const instance = newHost('instance');
const always = newHost('function', { restartPolicy: 'always' });
/** As a seed that was restarted finds it. */
const lonely = after(newHost(), joins, listens);

/** By the name of a column of the table. Anna waits for port 80 in those that are allocating. */
export const STATES: Readonly<Record<string, HostState>> = {
  // Imagined; with a wait, while nothing is allocated; an instance; about to be started by its restart policy.
  I: newHost(),
  Iw: step(newHost(), anna, { ...moment(), mayAllocate: false }).state,
  Ii: instance,
  Is: after(always, joins, listens, EVENTS['leave exited 0']),
  // Allocating; joined; its connection lost; resumed.
  A: allocating,
  Aj: after(allocating, joins),
  Al: after(allocating, joins, lost),
  Ar: after(suspended, anna, startGranted),
  // Running; settled; its connection lost; fenced until the acknowledgements are there; and after that; renewing; about to be released;
  // the same with its connection lost;
  // known by no invocation, and lost; an instance.
  R: running,
  Rs: after(running, EVENTS['ports settled'], EVENTS['timer expect']),
  Rl: after(running, lost),
  Ra: after(running, suspend),
  Rg: after(running, suspend, EVENTS['acks 0']),
  Rr: after(running, EVENTS['leave renew'], EVENTS['ended renew']),
  Re: after(running, EVENTS['order stop']),
  Rel: after(running, EVENTS['order stop'], lost),
  Rp: after(lonely, lost),
  Ri: after(instance, joins, listens),
  // Suspended; its guests being released. Failed, its guest; failed, the platform.
  S: suspended,
  Sr: after(suspended, EVENTS['timer release']),
  F: after(allocating, joins, EVENTS['leave exited 1']),
  Fp: after(allocating, EVENTS['timer deadline'], startGranted, EVENTS['timer deadline']),
};

/**
 * What a step came to, in a few characters: the phase (`a` or `g`: fenced, `e`: about to be released, `l`: its connection lost, `r`: releasing)
 * and what was done (`?` may it be started, `!` invoked, `=` ordered, `+` located, `-` unreachable, `>` published, `x` a connection
 * ended). `.`: nothing at all.
 */
export function summary(before: HostState, { state, effects }: Step): string {
  if (state === before && effects.length === 0) return '.';
  const { phase } = state;
  const session = sessionOf(state);
  const lost = session && session.peer === undefined ? 'l' : '';
  const fence = phase.state === 'running' && phase.fence ? phase.fence.stage[0] : '';
  const releasing = phase.state === 'suspended' && phase.releasing ? 'r' : '';
  const done: string[] = effects.map((effect) => (effect.type === 'answer' ? effect.frame.type : effect.type));
  return `${phase.state[0].toUpperCase()}${fence}${lost}${releasing}${MARKS.filter(([type]) => done.includes(type))
    .map(([, mark]) => mark)
    .join('')}`;
}

const MARKS: ReadonlyArray<readonly [Exclude<Effect['type'], 'answer'> | 'located' | 'unreachable', string]> = [
  ['seekStart', '?'],
  ['invoke', '!'],
  ['commandReply', '='],
  ['located', '+'],
  ['unreachable', '-'],
  ['publish', '>'],
  ['publishEnd', '>'],
  ['dismiss', 'x'],
  ['destroy', 'x'],
];
