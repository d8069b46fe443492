/** Refused clients, as operators hear of them: one event a second for each exposed port and reason. */
import type { EventLog } from '../operators/events';

interface Count {
  readonly host: string;
  readonly port: number;
  readonly reason: string;
  client: string;
  refused: number;
}

const EVERY = 1_000;

export class Refusals {
  readonly #events: Pick<EventLog, 'emit'>;
  readonly #counts = new Map<string, Count>();
  readonly #reported = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(events: Pick<EventLog, 'emit'>) {
    this.#events = events;
  }

  /** The first one at once, those within the next second in one event at its end. */
  add(host: string, port: number, client: string, reason: string, refused = 1): void {
    const key = `${port} ${host} ${reason}`;
    const count = this.#counts.get(key) ?? { host, port, reason, client, refused: 0 };
    count.client = client;
    count.refused += refused;
    this.#counts.set(key, count);
    const since = performance.now() - (this.#reported.get(key) ?? Number.NEGATIVE_INFINITY);
    if (since >= EVERY) this.#report(key, count);
    else this.#timer ??= setTimeout(this.#reportAll, EVERY);
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  readonly #reportAll = (): void => {
    this.#timer = undefined;
    for (const [key, count] of this.#counts) this.#report(key, count);
  };

  #report(key: string, { host, port, client, reason, refused }: Count): void {
    this.#counts.delete(key);
    this.#reported.set(key, performance.now());
    this.#events.emit(host, 'ingress-refused', { port, client, reason, refused }, 'ingress');
  }
}
