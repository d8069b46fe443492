/** What must hold of a run, judged when it is over. */
import type { ClusterEvent } from '../../../src/contract/control/from-seed';
import type { Fault } from './faults';
import type { Call } from './records';

export interface Verdict {
  readonly property: string;
  /** What was looked at, for people. */
  readonly of: string;
  /** What violates it: empty where it holds. */
  readonly violations: readonly string[];
}

export interface Evidence {
  readonly calls: readonly Call[];
  readonly events: readonly ClusterEvent[];
  readonly faults: readonly Fault[];
  /** Milliseconds that a connect to any host may take. */
  readonly allocationTimeout: number;
}

/** What a busy machine takes longer, milliseconds. */
const SLACK = 2_000;
/** A request that takes so long hangs. */
const HANGS = 30_000;
/** Events of a host that are told with a call of it that went wrong. */
const LAST_EVENTS = 8;
/** Between what a guest writes and what the seed does, milliseconds. */
const CLOCKS = 250;

/** Milliseconds of the call in which a process that it needs stood still, or its network was cut, on purpose. */
export function stoodStill(call: Call, faults: readonly Fault[]): number {
  const end = call.at + call.ms;
  const parts = faults
    .filter(({ kind }) => STILL.has(kind))
    .filter(({ host }) => host === undefined || host === call.by || host === call.to)
    .map(({ from, until = end }) => [Math.max(from, call.at), Math.min(until, end)] as const)
    .filter(([from, until]) => until > from)
    .sort(([a], [b]) => a - b);
  let sum = 0;
  let counted = 0;
  for (const [from, until] of parts) {
    sum += Math.max(0, until - Math.max(from, counted));
    counted = Math.max(counted, until);
  }
  return sum;
}

const STILL: ReadonlySet<string> = new Set(['pause-supervisor', 'pause-sandbox', 'cut-host', 'cut-all']);

/**
 * Whether the seed means the caller. It counts clients as they join, and another seed counts anew: a client's number there
 * says nothing about its number here.
 */
function isBy(from: unknown, by: string): boolean {
  return from === by || (CLIENT.test(by) && CLIENT.test(String(from)));
}

const CLIENT = /^client-\d+$/;

/** What went wrong around the call, for people. */
function around({ at, ms, by, to }: Call, { faults, events }: Evidence): string {
  const near = faults.filter(
    ({ host, from, until = from }) =>
      from < at + ms && until > at - 3_000 && (host === undefined || host === by || host === to),
  );
  const faultText = near.map(({ kind, host = '', from }) => `${kind} ${host} ${Math.round(from - at)} ms`);
  const refusal = events.find(
    ({ event, host, time, detail }) =>
      event === 'refused' && host === to && isBy(detail.from, by) && Math.abs(time - at - ms) < CLOCKS,
  );
  const before = events.filter(({ host, time }) => host === to && time < at + ms + CLOCKS).slice(-LAST_EVENTS);
  const eventText = before.map(({ event, time }) => `${event} ${Math.round(time - at)} ms`);
  const reason = refusal ? `; ${refusal.detail.reason}` : '';
  return `${faultText.join(', ') || 'no fault'}${reason}; the seed's last of ${to}: ${eventText.join(', ') || 'none'}`;
}

function describe(call: Call, evidence: Evidence): string {
  const { by, to, op, at, ms, end, why } = call;
  const time = new Date(at).toISOString().slice(11, 23);
  return `${time} ${op} ${by} -> ${to}: ${end}${why ? ` (${why})` : ''} after ${Math.round(ms)} ms [${around(call, evidence)}]`;
}

/**
 * The guest has refused it: it ended before it listened, or an operator has stopped its host, and the seed says so. Or it
 * was ended that way so short a time ago that the wait for the next try is not over.
 */
function refusedByGuest({ by, to, at, ms, end }: Call, events: readonly ClusterEvent[]): boolean {
  if (end !== 'ECONNREFUSED') return false;
  return events.some(
    ({ event, host, time, detail }) =>
      event === 'refused' &&
      host === to &&
      isBy(detail.from, by) &&
      time > at - CLOCKS &&
      time < at + ms + CLOCKS &&
      GUEST_REASONS.test(String(detail.reason)),
  );
}

/** Its own client was killed: the supervisor ends before the guest, which has some milliseconds without one. */
function diedItself({ by, at, ms }: Call, faults: readonly Fault[]): boolean {
  return faults.some(({ kind, host, from }) => kind === 'kill-client' && host === by && at + ms > from - CLOCKS);
}

const GUEST_REASONS = /^the guest (was ended by|has ended|exited with code)|is stopped by an operator$/;

export function judge(evidence: Evidence): Verdict[] {
  const { calls, events, faults, allocationTimeout } = evidence;
  const connects = calls.filter(({ op }) => op === 'connect');
  const requests = calls.filter(({ op }) => op === 'request');
  const say = (some: readonly Call[]) => some.map((call) => describe(call, evidence));
  const late = ({ ms, ...call }: Call, limit: number) => ms - stoodStill({ ms, ...call }, faults) > limit;
  const failed = connects.filter(({ end }) => end !== 'ok' && end !== 'open');
  return [
    {
      property: 'no wrong byte',
      of: `${requests.filter(({ end }) => end === 'ok').length} requests answered`,
      violations: say(calls.filter(({ end }) => end === 'wrong')),
    },
    {
      property: 'no connect takes longer than its deadline',
      of: `${connects.length} connects, ${allocationTimeout} ms`,
      violations: say(connects.filter((call) => late(call, allocationTimeout + SLACK))),
    },
    {
      property: 'no request hangs',
      of: `${requests.length} requests, ${HANGS} ms`,
      violations: say(requests.filter((call) => late(call, HANGS))),
    },
    {
      property: 'a connect fails only if its guest has refused it',
      of: `${failed.length} of ${connects.length} connects failed`,
      violations: say(failed.filter((call) => !refusedByGuest(call, events) && !diedItself(call, faults))),
    },
  ];
}

/** How calls have ended, for the table: `connect ok 812`. */
export function countEnds(calls: readonly Call[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { op, end } of calls) counts[`${op} ${end}`] = (counts[`${op} ${end}`] ?? 0) + 1;
  return Object.fromEntries(Object.entries(counts).sort(([a], [b]) => a.localeCompare(b)));
}
