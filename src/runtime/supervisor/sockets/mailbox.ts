/** What happens to a host, in the order in which it happens. */
export interface Mailbox<T> {
  /** What waits to be taken. */
  readonly size: number;
  put(item: T): void;
  /** The oldest item, as soon as there is one. One caller at a time. */
  take(): Promise<T>;
}

export function createMailbox<T>(): Mailbox<T> {
  const items: T[] = [];
  let taker: ((item: T) => void) | undefined;
  return {
    get size() {
      return items.length;
    },
    put: (item) => {
      if (!taker) {
        items.push(item);
        return;
      }
      const give = taker;
      taker = undefined;
      give(item);
    },
    take: () => {
      if (items.length > 0) return Promise.resolve(items.shift()!);
      return new Promise((resolve) => {
        taker = resolve;
      });
    },
  };
}
