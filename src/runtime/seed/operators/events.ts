import type { ClusterEvent } from '../../../contract/control/from-seed';
import { Allowance } from '../allowance';

export type Detail = ClusterEvent['detail'];

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

/** The cluster's event log: the last events, in memory, and the watchers that follow them. */
export class EventLog {
  readonly #limits: EventLimits;
  readonly #onEvent: (event: ClusterEvent) => void;
  readonly #watchers = new Set<() => void>();
  readonly #sources = new Map<string, Source>();
  readonly #said = new Map<string, { readonly allowance: Allowance; muted: number }>();
  /** In order; with what is forgotten, until that is the greater part. */
  #log: Kept[] = [];
  #head = 0;
  #count = 0;
  #bytes = 0;
  #largest: Source | undefined;

  constructor(limits: EventLimits, onEvent: (event: ClusterEvent) => void) {
    this.#limits = limits;
    this.#onEvent = onEvent;
  }

  /**
   * @param source whose doing it is, where that is not the seed's own about this host. When there is no room, the
   * oldest event of
   * the source that takes most of it is forgotten: a source of many events loses its own only
   */
  emit(host: string | null, event: string, detail: Detail = {}, source = host ?? ''): void {
    // With fraction: events of one connect are less than a millisecond apart. A clock that is set does not change their
    // order: the next seed follows it.
    const time = performance.timeOrigin + performance.now();
    const entry: ClusterEvent = { time, host, event, detail };
    const kept: Kept = { index: this.#head++, event: entry, bytes: JSON.stringify(entry).length };
    const of = this.#sources.get(source) ?? { kept: [], first: 0, bytes: 0 };
    this.#sources.set(source, of);
    of.kept.push(kept);
    of.bytes += kept.bytes;
    this.#log.push(kept);
    this.#count += 1;
    this.#bytes += kept.bytes;
    while (this.#count > this.#limits.most || this.#bytes > this.#limits.bytes) this.#forgetOne(of);
    this.#onEvent(entry);
    for (const watcher of this.#watchers) watcher();
  }

  /**
   * The same of what a host's supervisor says, which may be anything and come at any rate: what is too much is only
   * counted.
   */
  emitSaid(host: string, event: string, detail: Detail): void {
    const speaker = this.#said.get(host) ?? { allowance: new Allowance(SAID.burst, SAID.rate), muted: 0 };
    this.#said.set(host, speaker);
    if (!speaker.allowance.take(JSON.stringify(detail).length + AROUND)) {
      speaker.muted += 1;
      return;
    }
    const { muted } = speaker;
    speaker.muted = 0;
    if (muted > 0) this.emit(host, 'muted', { events: muted, allowed: SAID.rate }, `${host} says`);
    this.emit(host, event, detail, `${host} says`);
  }

  /** The first event that is kept of those from this number on, and its number. Events are numbered from 0. */
  from(index: number): { readonly index: number; readonly event: ClusterEvent } | undefined {
    const log = this.#log;
    let low = 0;
    for (let high = log.length; low < high; ) {
      const middle = (low + high) >> 1;
      if (log[middle].index < index) low = middle + 1;
      else high = middle;
    }
    while (low < log.length && !log[low].event) low += 1;
    const found = log[low];
    return found?.event && { index: found.index, event: found.event };
  }

  /** The watcher is called after each event. @returns stops it */
  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  #forgetOne(latest: Source): void {
    const largest = this.#largestSource(latest);
    const oldest = largest.kept[largest.first++];
    oldest.event = undefined;
    largest.bytes -= oldest.bytes;
    this.#bytes -= oldest.bytes;
    this.#count -= 1;
    if (largest.first > largest.kept.length / 2) {
      largest.kept = largest.kept.slice(largest.first);
      largest.first = 0;
    }
    if (this.#log.length > 2 * this.#count + 64) this.#log = this.#log.filter(({ event }) => event !== undefined);
  }

  #largestSource(latest: Source): Source {
    let largest = this.#largest;
    if (!largest || latest.bytes >= largest.bytes) largest = latest;
    else for (const source of this.#sources.values()) if (source.bytes > largest.bytes) largest = source;
    this.#largest = largest;
    return largest;
  }
}
