/** Events in the order in which they happen, for one reader. */
export class Mailbox<T> {
  readonly #items: T[] = [];
  #taker: ((item: T) => void) | undefined;
  readonly #watchers = new Set<(item: T) => void>();

  /** Number of items that wait to be taken. */
  get size(): number {
    return this.#items.length;
  }

  put(item: T): void {
    const taker = this.#taker;
    this.#taker = undefined;
    if (taker) taker(item);
    else this.#items.push(item);
    for (const watcher of this.#watchers) watcher(item);
  }

  /** Resolves as soon as an item waits that is one of `which`, or when the signal is aborted. It stays where it is. */
  holds(which: (item: T) => boolean, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal.aborted || this.#items.some(which)) return resolve();
      const end = () => {
        this.#watchers.delete(watcher);
        signal.removeEventListener('abort', end);
        resolve();
      };
      const watcher = (item: T) => void (which(item) && end());
      this.#watchers.add(watcher);
      signal.addEventListener('abort', end);
    });
  }

  /** The oldest item, as soon as there is one. One call at a time. */
  take(): Promise<T> {
    if (this.#items.length > 0) return Promise.resolve(this.#items.shift()!);
    return new Promise((resolve) => {
      this.#taker = resolve;
    });
  }

  /** The same; undefined: there was none for `limit` milliseconds. */
  takeWithin(limit: number): Promise<T | undefined> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#taker = undefined;
        resolve(undefined);
      }, limit);
      void this.take().then((item) => {
        clearTimeout(timer);
        resolve(item);
      });
    });
  }
}
