/**
 * Edges: which hosts each host connects to after its allocation. They are learnt or declared. Pure but for its own
 * fields: it has no clock, timer or machine.
 */
import type { ManifestHost } from '../../../contract/manifest';

/** Learnt edges of one host. */
export const MOST_LEARNT = 32;
/** How many wrong guesses in a row an edge outlives at most, and one less. */
export const MOST_TRUST = 3;
/** An edge that was forgotten is learnt again once it was seen in so many epochs in a row, at most. */
export const MOST_NEEDED = 16;

/** What the edges are to know of a host. */
export type EdgeHost = Pick<ManifestHost, 'name' | 'kind' | 'connectsTo' | 'prefetch'>;

interface Edge {
  readonly to: string;
  readonly declared: boolean;
  /** 0: nothing is started because of it. */
  trust: number;
  /** Epochs in a row in which it was seen, while it is not trusted, and how many it takes. */
  seen: number;
  needs: number;
  /** When it was seen last, counted in events. */
  last: number;
  hits: number;
  misses: number;
  wastedMs: number;
  wastedStarts: number;
}

interface Source {
  readonly learns: boolean;
  readonly edges: Map<string, Edge>;
  /** It was allocated anew, and is up: the targets that it has connected to since. */
  epoch: Set<string> | undefined;
}

/** A host that was started because of an edge, until it is up no more. */
interface Guess {
  readonly from: string;
  readonly since: number;
  /** The edge was given a hit or a miss. */
  judged: boolean;
  /** Some member has connected to it. */
  used: boolean;
  /** The host at the edge's start knows where it is. */
  told: boolean;
}

/** What has become of an edge. */
export type EdgeChange =
  | { readonly type: 'learnt'; readonly from: string; readonly to: string }
  /** `afterMs`: from the start of the target until the connect. */
  | { readonly type: 'hit'; readonly from: string; readonly to: string; readonly afterMs: number }
  | { readonly type: 'missed'; readonly from: string; readonly to: string }
  | { readonly type: 'forgotten'; readonly from: string; readonly to: string };

/** An edge as operators are shown it. */
export interface EdgeReport {
  readonly from: string;
  readonly to: string;
  readonly kind: 'declared' | 'learnt' | 'forgotten';
  readonly hits: number;
  readonly misses: number;
  readonly wastedMs: number;
  readonly wastedStarts: number;
}

export class Edges {
  readonly #sources = new Map<string, Source>();
  /** Only these are started: all others join by themselves. */
  readonly #functions: ReadonlySet<string>;
  /** By the host that was started. */
  readonly #guesses = new Map<string, Guess>();
  #events = 0;

  /** @param learning false: declared edges only */
  constructor(hosts: readonly EdgeHost[], learning: boolean) {
    this.#functions = new Set(hosts.filter(({ kind }) => kind === 'function').map(({ name }) => name));
    for (const { name, connectsTo, prefetch } of hosts) {
      const targets = connectsTo.filter((to) => this.#functions.has(to));
      const edges = new Map(targets.map((to) => [to, newEdge(to, true)]));
      this.#sources.set(name, { learns: learning && prefetch, edges, epoch: undefined });
    }
  }

  /** A host is allocated anew. @returns the hosts to start with it, the likeliest first */
  started(host: string): readonly string[] {
    const source = this.#sources.get(host);
    if (!source) return [];
    source.epoch = new Set();
    const worth = ({ declared, trust, hits }: Edge) => [declared ? 1 : 0, trust, hits];
    return [...source.edges.values()]
      .filter(({ trust }) => trust > 0)
      .sort((a, b) => compare(worth(b), worth(a)))
      .map(({ to }) => to);
  }

  /** `to` was started because of that edge. */
  guessed(from: string, to: string, at: number): void {
    this.#guesses.set(to, { from, since: at, judged: false, used: false, told: false });
  }

  /** Guesses that begin or end at that host, and whose start has not been told where the end is. */
  untold(host: string): ReadonlyArray<{ readonly from: string; readonly to: string }> {
    if (this.#guesses.size === 0) return [];
    const targets = [host, ...(this.#sources.get(host)?.edges.keys() ?? [])];
    return targets.flatMap((to) => {
      const guess = this.#guesses.get(to);
      if (!guess || guess.told || guess.judged || (to !== host && guess.from !== host)) return [];
      return { from: guess.from, to };
    });
  }

  told(to: string): void {
    const guess = this.#guesses.get(to);
    if (guess) guess.told = true;
  }

  /**
   * A member connects to `to`.
   * @param from the host that it is; undefined: a client
   * @param recent the host was allocated a moment ago
   */
  connected(from: string | undefined, to: string, at: number, recent: boolean): readonly EdgeChange[] {
    const guess = this.#guesses.get(to);
    if (guess) guess.used = true;
    const source = from === undefined ? undefined : this.#sources.get(from);
    if (from === undefined || !source) return [];
    const changes: EdgeChange[] = [];
    if (guess?.from === from && !guess.judged) {
      guess.judged = true;
      const edge = source.edges.get(to);
      if (edge) {
        edge.hits += 1;
        edge.trust = Math.min(MOST_TRUST, edge.trust + 1);
        edge.needs = Math.max(1, edge.needs / 2);
        changes.push({ type: 'hit', from, to, afterMs: at - guess.since });
      }
    }
    if (recent && source.epoch && this.#see(source, from, to)) changes.push({ type: 'learnt', from, to });
    return changes;
  }

  /**
   * A host is up no more.
   * @param ran it was running before: what it did not connect to, it did not need
   * @param idle it was suspended: what nobody has connected to, nobody needed
   */
  ended(host: string, at: number, { ran, idle }: { readonly ran: boolean; readonly idle: boolean }): EdgeChange[] {
    const changes: EdgeChange[] = [];
    const own = this.#guesses.get(host);
    this.#guesses.delete(host);
    if (own) {
      this.#waste(host, own, at);
      if (idle) changes.push(...this.#judge(host, own));
    }
    const source = this.#sources.get(host);
    if (!source) return changes;
    for (const edge of source.edges.values()) {
      const guess = this.#guesses.get(edge.to);
      if (guess?.from === host) {
        if (ran) changes.push(...this.#judge(edge.to, guess));
        guess.judged = true;
      }
      if (ran && source.epoch && !source.epoch.has(edge.to)) edge.seen = 0;
    }
    source.epoch = undefined;
    return changes;
  }

  /** All edges that something is known of. What is wasted by hosts that are up counts as well. */
  report(at: number): EdgeReport[] {
    const rows: EdgeReport[] = [];
    for (const [from, { edges }] of this.#sources) {
      for (const { to, declared, trust, hits, misses, wastedMs, wastedStarts } of edges.values()) {
        const guess = this.#guesses.get(to);
        const open = guess?.from === from && !guess.used ? at - guess.since : 0;
        const kind = declared ? 'declared' : trust > 0 ? 'learnt' : 'forgotten';
        rows.push({ from, to, kind, hits, misses, wastedMs: wastedMs + open, wastedStarts });
      }
    }
    return rows;
  }

  /** @returns whether the edge is learnt by it */
  #see(source: Source, from: string, to: string): boolean {
    if (!this.#functions.has(to) || from === to) return false;
    const known = source.edges.get(to);
    if (!known && !source.learns) return false;
    const edge = known ?? this.#add(source, to);
    edge.last = ++this.#events;
    if (source.epoch!.has(to)) return false;
    source.epoch!.add(to);
    if (edge.trust > 0) return false;
    edge.seen += 1;
    if (edge.seen < edge.needs) return false;
    edge.trust = 1;
    return true;
  }

  /** Where a host has too many, the one that is worth the least makes room. */
  #add(source: Source, to: string): Edge {
    const learnt = [...source.edges.values()].filter(({ declared }) => !declared);
    if (learnt.length >= MOST_LEARNT) {
      const least = learnt.reduce((a, b) => (compare([a.trust, a.last], [b.trust, b.last]) <= 0 ? a : b));
      source.edges.delete(least.to);
    }
    const edge = newEdge(to, false);
    source.edges.set(to, edge);
    return edge;
  }

  /** The guess was wrong, if nothing has shown that it was right. */
  #judge(to: string, guess: Guess): EdgeChange[] {
    if (guess.judged) return [];
    guess.judged = true;
    const { from } = guess;
    const edge = this.#sources.get(from)?.edges.get(to);
    if (!edge) return [];
    edge.misses += 1;
    const missed: EdgeChange = { type: 'missed', from, to };
    // What a user has declared is the user's to take back.
    if (edge.declared) return [missed];
    edge.trust -= 1;
    if (edge.trust > 0) return [missed];
    edge.seen = 0;
    edge.needs = Math.min(MOST_NEEDED, edge.needs * 2);
    return [missed, { type: 'forgotten', from, to }];
  }

  #waste(to: string, { from, since, used }: Guess, at: number): void {
    const edge = this.#sources.get(from)?.edges.get(to);
    if (!edge || used) return;
    edge.wastedMs += at - since;
    edge.wastedStarts += 1;
  }
}

function newEdge(to: string, declared: boolean): Edge {
  const counts = { hits: 0, misses: 0, wastedMs: 0, wastedStarts: 0 };
  return { to, declared, trust: declared ? 1 : 0, seen: 0, needs: 1, last: 0, ...counts };
}

function compare(a: readonly number[], b: readonly number[]): number {
  const i = a.findIndex((x, j) => x !== b[j]);
  return i < 0 ? 0 : a[i] - b[i];
}
