import type { ClusterEvent } from '../protocol/frames';

export type Detail = ClusterEvent['detail'];

/** The cluster's event log: the last events, in memory, and who follows them. */
export interface EventLog {
  emit(host: string | null, event: string, detail?: Detail): void;
  /** Number of the event after the last one. Events are numbered from 0. */
  readonly head: number;
  /** Number of the oldest event that is kept. */
  readonly tail: number;
  at(index: number): ClusterEvent;
  /** Called after each event. @returns stops it */
  watch(watcher: () => void): () => void;
}

/** Milliseconds since 1970, with fraction: events of one connect are less than a millisecond apart. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}

export function eventLog(capacity: number, onEvent: (event: ClusterEvent) => void): EventLog {
  const ring: ClusterEvent[] = [];
  const watchers = new Set<() => void>();
  let head = 0;
  return {
    emit: (host, event, detail = {}) => {
      const entry = { time: now(), host, event, detail };
      ring[head++ % capacity] = entry;
      onEvent(entry);
      for (const watcher of watchers) watcher();
    },
    get head() {
      return head;
    },
    get tail() {
      return Math.max(0, head - capacity);
    },
    at: (index) => ring[index % capacity],
    watch: (watcher) => {
      watchers.add(watcher);
      return () => watchers.delete(watcher);
    },
  };
}
