import type { ClusterEvent } from '../../../contract/control/from-seed';
import { allowance } from '../members/allowance';

export type Detail = ClusterEvent['detail'];

/** The cluster's event log: the last events, in memory, and who follows them. */
export interface EventLog {
  /**
   * @param source whose doing it is, where that is not the seed's own about this host. When there is no room, the oldest event of
   * the source that takes most of it is forgotten: who makes many loses its own only
   */
  emit(host: string | null, event: string, detail?: Detail, source?: string): void;
  /** The same of what a host's supervisor says, which may be anything and come at any rate: what is too much is only counted. */
  emitSaid(host: string, event: string, detail: Detail): void;
  /** The first event that is kept of those from this number on, and its number. Events are numbered from 0. */
  from(index: number): { readonly index: number; readonly event: ClusterEvent } | undefined;
  /** Called after each event. @returns stops it */
  watch(watcher: () => void): () => void;
}

/** Milliseconds since 1970, with fraction: events of one connect are less than a millisecond apart. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}

export interface EventLimits {
  /** Events that are kept. */
  readonly most: number;
  /** Bytes of them, as JSON. */
  readonly bytes: number;
}

/** Bytes of what one host says: at once, and each second. Far more than supervisors say. */
const SAID = { burst: 64 * 1024, rate: 4 * 1024 };

/** Bytes of an event and its log line besides its detail. */
const AROUND = 128;

interface Kept {
  readonly index: number;
  /** Undefined: forgotten. */
  event: ClusterEvent | undefined;
  readonly bytes: number;
}

/** The events of one source, oldest first. */
interface Source {
  kept: Kept[];
  /** Those before it are forgotten. */
  first: number;
  bytes: number;
}

export function eventLog(limits: EventLimits, onEvent: (event: ClusterEvent) => void): EventLog {
  const watchers = new Set<() => void>();
  const sources = new Map<string, Source>();
  const said = new Map<string, { readonly allows: (bytes: number) => boolean; muted: number }>();
  /** In order; with what is forgotten, until that is the greater part. */
  let log: Kept[] = [];
  let head = 0;
  let count = 0;
  let bytes = 0;
  let largest: Source | undefined;

  const forgetOne = (latest: Source) => {
    if (!largest || latest.bytes >= largest.bytes) largest = latest;
    else for (const source of sources.values()) if (source.bytes > largest.bytes) largest = source;
    const oldest = largest.kept[largest.first++];
    oldest.event = undefined;
    largest.bytes -= oldest.bytes;
    bytes -= oldest.bytes;
    count -= 1;
    if (largest.first > largest.kept.length / 2) {
      largest.kept = largest.kept.slice(largest.first);
      largest.first = 0;
    }
    if (log.length > 2 * count + 64) log = log.filter(({ event }) => event !== undefined);
  };

  const emit: EventLog['emit'] = (host, event, detail = {}, source = host ?? '') => {
    const entry: ClusterEvent = { time: now(), host, event, detail };
    const kept: Kept = { index: head++, event: entry, bytes: JSON.stringify(entry).length };
    const of = sources.get(source) ?? { kept: [], first: 0, bytes: 0 };
    sources.set(source, of);
    of.kept.push(kept);
    of.bytes += kept.bytes;
    log.push(kept);
    count += 1;
    bytes += kept.bytes;
    while (count > limits.most || bytes > limits.bytes) forgetOne(of);
    onEvent(entry);
    for (const watcher of watchers) watcher();
  };

  return {
    emit,
    emitSaid: (host, event, detail) => {
      const speaker = said.get(host) ?? { allows: allowance(SAID.burst, SAID.rate), muted: 0 };
      said.set(host, speaker);
      const size = JSON.stringify(detail).length + AROUND;
      if (!speaker.allows(size)) {
        speaker.muted += 1;
        return;
      }
      const { muted } = speaker;
      speaker.muted = 0;
      if (muted > 0) emit(host, 'muted', { events: muted, allowed: SAID.rate }, `${host} says`);
      emit(host, event, detail, `${host} says`);
    },
    from: (index) => {
      let low = 0;
      for (let high = log.length; low < high; ) {
        const middle = (low + high) >> 1;
        if (log[middle].index < index) low = middle + 1;
        else high = middle;
      }
      while (low < log.length && !log[low].event) low += 1;
      const found = log[low];
      return found?.event && { index: found.index, event: found.event };
    },
    watch: (watcher) => {
      watchers.add(watcher);
      return () => watchers.delete(watcher);
    },
  };
}
