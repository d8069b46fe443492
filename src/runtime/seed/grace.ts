/** Looks at which hosts are back in one grace time, and grace times at most in which none is back. */
const LOOKS = 8;
const MOST = 5;
/** Milliseconds after the start in which hosts of an earlier seed come back. Later ones were cut off by themselves. */
const RETURN_LIMIT = 60_000;

export interface GraceOptions {
  /** Milliseconds; 0: there is no earlier seed. */
  readonly time: number;
  /** Members that have joined. */
  readonly joined: () => number;
  /** Connections that have not joined yet. */
  readonly handshaking: () => number;
  readonly onEnd: () => void;
}

/** The time in which hosts of an earlier seed may rejoin before anything is allocated. */
export class Grace {
  readonly #options: GraceOptions;
  readonly #startedAt = performance.now();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: GraceOptions) {
    this.#options = options;
  }

  get over(): boolean {
    return this.#timer === undefined;
  }

  /**
   * The seed starts, or a host of the earlier seed is back: the first may be later than the grace time, and is not the
   * last.
   */
  start(): void {
    const { time, joined } = this.#options;
    if (time === 0 || this.#timer || this.#closed || performance.now() - this.#startedAt > RETURN_LIMIT) return;
    this.#look(0, joined(), LOOKS * MOST);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  /**
   * Many hosts take longer than that, and are all in their handshakes before the first has joined. With each that is
   * back the time begins anew; as long as there are handshakes too, but up to a limit: they may be anybody's.
   */
  #look(quiet: number, before: number, left: number): void {
    const { time, joined, handshaking, onEnd } = this.#options;
    const next = () => {
      const more = joined() > before;
      const calm = more || handshaking() > 0 ? 0 : quiet + 1;
      if (calm < LOOKS && left > 0) return this.#look(calm, joined(), more ? left : left - 1);
      this.#timer = undefined;
      onEnd();
    };
    this.#timer = setTimeout(next, time / LOOKS);
  }
}
