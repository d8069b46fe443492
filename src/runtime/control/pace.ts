import type { TLSSocket } from 'node:tls';

/** Bytes of a frame that count as one. */
const COUNTED = 512;
/** Milliseconds for which a peer that sends too fast is not read, at least. */
const HOLD = 20;

/** Reads a peer's frames no faster than so many a second. Further frames wait on the peer's side. */
export class Pace {
  /** Frames that may come now; it grows with time, to the rate at most. */
  #credit: number;
  #creditedAt = performance.now();
  #timer: NodeJS.Timeout | undefined;

  constructor(
    readonly socket: TLSSocket,
    readonly rate = Number.MAX_SAFE_INTEGER,
  ) {
    this.#credit = rate;
  }

  /** The peer is not read at the moment. */
  get holding(): boolean {
    return this.#timer !== undefined;
  }

  count(length: number): void {
    this.#credit -= Math.max(1, length / COUNTED);
  }

  keep(): void {
    const now = performance.now();
    this.#credit = Math.min(this.rate, this.#credit + ((now - this.#creditedAt) * this.rate) / 1_000);
    this.#creditedAt = now;
    if (this.#credit >= 0) return;
    this.socket.pause();
    const resume = () => {
      this.#timer = undefined;
      this.socket.resume();
    };
    this.#timer = setTimeout(resume, Math.max(HOLD, (-this.#credit * 1_000) / this.rate));
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
