/** Requests of other members for connections: how many may be under way for all of them, and for each. */

/**
 * Connections. Each may hold a descriptor for its port here, in addition to those that the connector counts
 * (src/native/connector/share.c).
 */
export const MOST_REQUESTED = 512;

/**
 * A member may have as many as it leaves free for the others: each later member finds some, however many members came
 * before.
 */
export class Requests {
  readonly #shares = new Map<string, number>();
  #all = 0;

  constructor(readonly most = MOST_REQUESTED) {}

  /**
   * A request of that member for so many connections.
   * @returns what ends it; undefined: the member has its share already
   */
  begin(from: string, connections: number): (() => void) | undefined {
    const free = this.most - this.#all - connections;
    if ((this.#shares.get(from) ?? 0) + connections > free) return undefined;
    this.#add(from, connections);
    let ended = false;
    return () => {
      if (!ended) this.#add(from, -connections);
      ended = true;
    };
  }

  #add(from: string, connections: number): void {
    const share = (this.#shares.get(from) ?? 0) + connections;
    if (share === 0) this.#shares.delete(from);
    else this.#shares.set(from, share);
    this.#all += connections;
  }
}
