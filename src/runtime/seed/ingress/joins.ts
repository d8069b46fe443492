/**
 * How many clients of one host may be on their way to it at once: its supervisor takes a bounded number of requests, and
 * refuses more. Others stand in line, in the order they came.
 */
const MOST_AT_ONCE = 64;

interface Line {
  joining: number;
  /** Each starts one. */
  readonly waiting: Array<() => void>;
}

export class Joins {
  readonly #lines = new Map<string, Line>();

  constructor(readonly most = MOST_AT_ONCE) {}

  /** Starts a client's way to that host: now, or when it is its turn. `end` follows each start. */
  begin(host: string, start: () => void): void {
    const line = this.#lines.get(host) ?? { joining: 0, waiting: [] };
    this.#lines.set(host, line);
    if (line.joining >= this.most) return void line.waiting.push(start);
    line.joining += 1;
    start();
  }

  /** One that was started is there, or has failed. */
  end(host: string) {
    const line = this.#lines.get(host);
    if (!line) return;
    const next = line.waiting.shift();
    if (next) return next();
    line.joining -= 1;
    if (line.joining === 0) this.#lines.delete(host);
  }
}
