/** How much of what other members ask of this one is under way at a time: a bound for all of them, and a share for each. */

export interface Requests {
  /**
   * A request of that member for so many connections.
   * @returns what ends it; undefined: the member has its share already
   */
  begin(from: string, connections: number): (() => void) | undefined;
}

/** Connections. Each may hold a descriptor for its port here, in addition to those that the connector counts (src/native/connector/share.c). */
export const MOST_REQUESTED = 512;

/** A member may have as many as it leaves free for the others: whoever comes next finds some, however many have been there before. */
export function createRequests(most = MOST_REQUESTED): Requests {
  const shares = new Map<string, number>();
  let all = 0;
  const add = (from: string, connections: number) => {
    const share = (shares.get(from) ?? 0) + connections;
    if (share === 0) shares.delete(from);
    else shares.set(from, share);
    all += connections;
  };
  return {
    begin: (from, connections) => {
      const free = most - all - connections;
      if ((shares.get(from) ?? 0) + connections > free) return undefined;
      add(from, connections);
      let ended = false;
      return () => {
        if (!ended) add(from, -connections);
        ended = true;
      };
    },
  };
}
