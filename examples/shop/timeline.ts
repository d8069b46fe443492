/**
 * A cluster's event log as spans of time per host, the one thing that both pictures (SVG, terminal) are drawn from.
 */
export interface ClusterEvent {
  readonly time: number;
  readonly host: string | null;
  readonly event: string;
  readonly detail: Readonly<Record<string, string | number | boolean | null>>;
}

/** Something that the demo did, drawn above the hosts. */
export interface Mark {
  readonly from: number;
  readonly to: number;
  readonly label: string;
}

/** A host's state; `allocating` in its two halves: until the sandbox has joined, and until the guest listens. */
export type SpanState = 'imagined' | 'sandbox' | 'guest' | 'running' | 'suspended' | 'failed';

export const LABELS: Readonly<Record<SpanState, string>> = {
  imagined: 'imagined',
  sandbox: 'allocating: sandbox',
  guest: 'allocating: guest',
  running: 'running',
  suspended: 'suspended',
  failed: 'failed',
};

export interface Span {
  readonly state: SpanState;
  readonly from: number;
  readonly to: number;
}

export interface Lane {
  readonly host: string;
  readonly spans: readonly Span[];
  /** Connections to this host that stood: when, and from whom. */
  readonly connections: ReadonlyArray<{ readonly time: number; readonly from: string }>;
}

export interface Timeline {
  readonly start: number;
  readonly end: number;
  readonly lanes: readonly Lane[];
  readonly marks: readonly Mark[];
}

/** The state that a host is in after an event; events not listed change nothing. */
const STATE_AFTER: Readonly<Record<string, SpanState>> = {
  allocating: 'sandbox',
  joined: 'guest',
  running: 'running',
  resuming: 'sandbox',
  resumed: 'running',
  suspended: 'suspended',
  released: 'imagined',
  exited: 'imagined',
  failed: 'failed',
};

export function timelineOf(
  hosts: readonly string[],
  events: readonly ClusterEvent[],
  marks: readonly Mark[],
  start: number,
  end: number,
): Timeline {
  return { start, end, marks, lanes: hosts.map((host) => laneOf(host, events, start, end)) };
}

function laneOf(host: string, events: readonly ClusterEvent[], start: number, end: number): Lane {
  const spans: Span[] = [];
  let state: SpanState = 'imagined';
  let from = start;
  const mine = events.filter((event) => event.host === host && event.time >= start && event.time <= end);
  const listens = mine.some(({ event }) => event === 'listening');
  for (const { event, time } of mine) {
    // A guest that never listens does its work from its start on.
    const next = !listens && event === 'guest-started' ? 'running' : STATE_AFTER[event];
    // A supervisor also joins again after a freeze or a lost connection: no new guest then.
    if (next === undefined || next === state || (next === 'guest' && state !== 'sandbox')) continue;
    if (time > from) spans.push({ state, from, to: time });
    state = next;
    from = time;
  }
  spans.push({ state, from, to: end });
  const connections = mine
    .filter(({ event }) => event === 'connected')
    .map(({ time, detail }) => ({ time, from: String(detail.from ?? '') }));
  return { host, spans, connections };
}

/** Round distances between ticks of the time axis: the smallest that leaves at most `most` of them. */
export function tickStep(spanMs: number, most: number): number {
  for (const step of [10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000])
    if (spanMs / step <= most) return step;
  return 60_000;
}
