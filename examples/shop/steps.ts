/** How long each step of an allocation took, from the event log. */
import type { ClusterEvent } from './timeline';

export interface AllocationSteps {
  readonly host: string;
  /** Who connected; or why it was started without a connect. */
  readonly because: string;
  /** Milliseconds after the first host's `allocating`. */
  readonly at: number;
  /** Until the function's sandbox had started and joined the cluster. */
  readonly sandbox: number;
  /** From then until the guest listened; or was started, if it never listens. */
  readonly guest: number;
  /** From the connect that caused it until the host could be connected to, or its guest was started. */
  readonly total: number;
  readonly listens: boolean;
}

const LISTENS = ['allocating', 'joined', 'listening', 'running'];
const DIALS = ['allocating', 'joined', 'guest-started', 'guest-started'];

/** The steps of each host's last allocation, in the order in which they began; undefined when an event is missing. */
export function allocationSteps(
  hosts: readonly string[],
  events: readonly ClusterEvent[],
): AllocationSteps[] | undefined {
  const found: Array<{ host: string; because: string; listens: boolean; times: number[] }> = [];
  for (const host of hosts) {
    const mine = events.filter((event) => event.host === host);
    const first = mine.map((event) => event.event).lastIndexOf('allocating');
    if (first < 0) return undefined;
    const listens = mine.some((event, i) => i > first && event.event === 'listening');
    const times: number[] = [];
    let from = first;
    for (const name of listens ? LISTENS : DIALS) {
      from = mine.findIndex((event, i) => i >= from && event.event === name);
      if (from < 0) return undefined;
      times.push(mine[from].time);
    }
    const { by, why } = mine[first].detail;
    found.push({ host, because: String(why ?? `a connect of ${by}`), listens, times });
  }
  const origin = Math.min(...found.map(({ times }) => times[0]));
  return found
    .sort((a, b) => a.times[0] - b.times[0])
    .map(({ host, because, listens, times: [allocating, joined, up, ready] }) => ({
      host,
      because,
      listens,
      at: allocating - origin,
      sandbox: joined - allocating,
      guest: up - joined,
      total: ready - allocating,
    }));
}
