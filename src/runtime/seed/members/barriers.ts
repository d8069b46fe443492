/**
 * Barriers that members wait at until hosts have joined. A barrier is looked at only when a host joins or leaves that
 * it names, or when as many hosts as it wants have joined.
 */
import type { BarrierReply } from '../../../contract/control/membership';
import { MOST_MISSING } from '../../../contract/control/membership';
import type { ToSeed } from '../../../contract/control/to-seed';
import type { Detail } from '../operators/events';
import type { Peer } from './peer';

/** Barriers that one member may wait at. */
export const MOST_BARRIERS = 8;

type Ask = Extract<ToSeed, { type: 'barrier' }>;

interface Waiting {
  readonly peer: Peer;
  readonly ask: Ask;
  /** Names of hosts that have not joined. */
  readonly missing: Set<string>;
  readonly named: readonly string[];
  readonly since: number;
  timer?: NodeJS.Timeout;
}

export interface BarriersOptions {
  /** The host's own name, by any of its names. */
  readonly nameOf: (name: string) => string | undefined;
  /** Names of the hosts that have joined. */
  readonly present: () => ReadonlySet<string>;
  /** The host is to be started for `by`; `is` false: not any more for `by`. */
  readonly onAwaited: (host: string, by: string, is: boolean) => void;
  readonly emit: (by: string, event: string, detail: Detail) => void;
}

export class Barriers {
  readonly #options: BarriersOptions;
  readonly #byPeer = new Map<Peer, Map<number, Waiting>>();
  readonly #byName = new Map<string, Set<Waiting>>();
  readonly #byCount = new Map<number, Set<Waiting>>();

  constructor(options: BarriersOptions) {
    this.#options = options;
  }

  /** @returns why the member's connection is to end, if it is broken */
  wait(peer: Peer, ask: Ask): string | undefined {
    const open = this.#byPeer.get(peer) ?? new Map<number, Waiting>();
    if (open.has(ask.id)) return `barrier ${ask.id} is open already`;
    if (open.size >= MOST_BARRIERS) return `${open.size} barriers are open already; allowed: ${MOST_BARRIERS}`;
    const named: string[] = [];
    for (const name of ask.hosts ?? []) {
      const found = this.#options.nameOf(name);
      if (found === undefined) {
        this.#reply(peer, ask, [name], `there is no host '${name}' in the cluster`);
        return undefined;
      }
      named.push(found);
    }
    const present = this.#options.present();
    const missing = new Set(named.filter((name) => !present.has(name)));
    const waiting: Waiting = { peer, ask, missing, named, since: performance.now() };
    if (this.#isMet(waiting)) {
      this.#reply(peer, ask);
      return undefined;
    }
    this.#byPeer.set(peer, open.set(ask.id, waiting));
    for (const name of named) index(this.#byName, name).add(waiting);
    if (ask.count !== undefined) index(this.#byCount, ask.count).add(waiting);
    waiting.timer = setTimeout(() => this.#timeIsUp(waiting), ask.timeout);
    this.#options.emit(peer.name, 'barrier-waits', { ...detailOf(waiting), timeoutMs: ask.timeout });
    for (const name of missing) this.#options.onAwaited(name, peer.name, true);
    return undefined;
  }

  /** A host has joined, or is in the cluster no more; so many have joined. */
  onHost(name: string, present: boolean, hosts: number): void {
    for (const waiting of [...(this.#byName.get(name) ?? [])]) {
      if (present) {
        waiting.missing.delete(name);
        this.#look(waiting);
      } else {
        waiting.missing.add(name);
        this.#options.onAwaited(name, waiting.peer.name, true);
      }
    }
    // One joins at a time, so that no number is passed over.
    if (present) for (const waiting of [...(this.#byCount.get(hosts) ?? [])]) this.#look(waiting);
  }

  leave(peer: Peer, id: number): void {
    const waiting = this.#byPeer.get(peer)?.get(id);
    if (waiting) this.#remove(waiting);
  }

  /** The member is gone. */
  forget(peer: Peer): void {
    for (const waiting of [...(this.#byPeer.get(peer)?.values() ?? [])]) this.#remove(waiting);
  }

  close(): void {
    for (const open of this.#byPeer.values()) for (const { timer } of open.values()) clearTimeout(timer);
  }

  #isMet({ ask: { count = 0 }, missing }: Waiting): boolean {
    return missing.size === 0 && this.#options.present().size >= count;
  }

  #look(waiting: Waiting): void {
    if (!this.#isMet(waiting)) return;
    const { peer, ask, since } = waiting;
    this.#remove(waiting);
    this.#options.emit(peer.name, 'barrier-met', { waitedMs: Math.round(performance.now() - since) });
    this.#reply(peer, ask);
  }

  #timeIsUp(waiting: Waiting): void {
    const { peer, ask, missing } = waiting;
    this.#remove(waiting);
    this.#options.emit(peer.name, 'barrier-failed', { ...detailOf(waiting), present: this.#options.present().size });
    this.#reply(peer, ask, [...missing], 'the time is up');
  }

  #remove(waiting: Waiting): void {
    const { peer, ask, named, missing, timer } = waiting;
    clearTimeout(timer);
    const open = this.#byPeer.get(peer);
    open?.delete(ask.id);
    if (open?.size === 0) this.#byPeer.delete(peer);
    for (const name of named) drop(this.#byName, name, waiting);
    if (ask.count !== undefined) drop(this.#byCount, ask.count, waiting);
    for (const name of missing) {
      this.#options.onAwaited(name, peer.name, false);
      const [other] = this.#byName.get(name) ?? [];
      if (other) this.#options.onAwaited(name, other.peer.name, true);
    }
  }

  /** @param reason why it is not met */
  #reply(peer: Peer, { id }: Ask, missing: readonly string[] = [], reason?: string): void {
    const reply: BarrierReply = {
      type: 'barrierReply',
      id,
      met: reason === undefined,
      present: this.#options.present().size,
      ...(reason === undefined ? {} : { missing: listed(missing), reason }),
    };
    peer.channel.send(reply);
  }
}

function index<K>(map: Map<K, Set<Waiting>>, key: K): Set<Waiting> {
  const found = map.get(key) ?? new Set<Waiting>();
  map.set(key, found);
  return found;
}

function drop<K>(map: Map<K, Set<Waiting>>, key: K, waiting: Waiting): void {
  const found = map.get(key);
  if (found?.delete(waiting) && found.size === 0) map.delete(key);
}

/** The first names, in order, and how many more there are. */
function listed(names: readonly string[]): string[] {
  const sorted = [...names].sort();
  const more = sorted.length - MOST_MISSING;
  return more > 0 ? [...sorted.slice(0, MOST_MISSING), `${more} more`] : sorted;
}

function detailOf({ ask, missing }: Waiting): Detail {
  return {
    ...(ask.count === undefined ? {} : { count: ask.count }),
    ...(ask.hosts ? { missing: listed([...missing]).join(', ') } : {}),
  };
}
