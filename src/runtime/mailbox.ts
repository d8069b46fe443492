/** Events in the order in which they happen, for one reader. */
export class Mailbox<T> {
  readonly #items: T[] = [];
  #taker: ((item: T) => void) | undefined;

  /** Number of items that wait to be taken. */
  get size(): number {
    return this.#items.length;
  }

  put(item: T): void {
    const taker = this.#taker;
    this.#taker = undefined;
    if (taker) taker(item);
    else this.#items.push(item);
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
