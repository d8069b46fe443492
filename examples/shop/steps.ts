/** How long each step of an allocation took, from the event log. */
import type { ClusterEvent } from './timeline';

export interface AllocationSteps {
  readonly host: string;
  /** Who connected. */
  readonly by: string;
  /** Milliseconds after the first host's `allocating`. */
  readonly at: number;
  /** Until the function's sandbox had started and joined the cluster. */
  readonly sandbox: number;
  /** From then until the guest listened. */
  readonly guest: number;
  /** From the connect that caused it until the host ran. */
  readonly total: number;
}

const ORDER = ['allocating', 'joined', 'listening', 'running'] as const;

/** The steps of each host's last allocation, in the order in which they began; undefined when an event is missing. */
export function allocationSteps(
  hosts: readonly string[],
  events: readonly ClusterEvent[],
): AllocationSteps[] | undefined {
  const found: Array<{ host: string; by: string; times: number[] }> = [];
  for (const host of hosts) {
    const mine = events.filter((event) => event.host === host);
    const first = mine.map((event) => event.event).lastIndexOf('allocating');
    if (first < 0) return undefined;
    const times: number[] = [];
    let from = first;
    for (const name of ORDER) {
      from = mine.findIndex((event, i) => i >= from && event.event === name);
      if (from < 0) return undefined;
      times.push(mine[from].time);
    }
    found.push({ host, by: String(mine[first].detail.by ?? '?'), times });
  }
  const origin = Math.min(...found.map(({ times }) => times[0]));
  return found
    .sort((a, b) => a.times[0] - b.times[0])
    .map(({ host, by, times: [allocating, joined, listening, running] }) => ({
      host,
      by,
      at: allocating - origin,
      sandbox: joined - allocating,
      guest: listening - joined,
      total: running - allocating,
    }));
}
