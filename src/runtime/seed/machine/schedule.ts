import { type NextTime, parseSchedule } from '../../../contract/manifest/schedule';

/** Milliseconds between two looks at the clock: one that is set back or forward is followed within this time. */
const LOOK = 30_000;
/** Timers may be a little early. Milliseconds. */
const EARLY = 5;

/**
 * Calls at the times of a schedule expression, by the time of day. Times that a clock which is set forward leaves out are
 * one call. A clock that is set back brings a time again only where the schedule would else be silent for longer than it
 * ever is.
 */
export class Schedule {
  readonly #next: NextTime;
  readonly #onTime: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(expression: string, onTime: () => void) {
    this.#next = parseSchedule(expression)!;
    this.#onTime = onTime;
    this.#armAfter(Date.now());
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  #armAfter(since: number): void {
    const due = this.#next(since);
    if (due !== undefined) this.#arm(due, since);
  }

  #arm(due: number, since: number): void {
    const left = Math.max(0, Math.min(due - Date.now(), LOOK));
    this.#timer = setTimeout(() => this.#look(due, since), left);
  }

  #look(due: number, since: number): void {
    const now = Date.now();
    if (now < due - EARLY) {
      const setBack = since - now;
      if (setBack >= due - since) this.#armAfter(now);
      else this.#arm(due, since);
      return;
    }
    this.#armAfter(Math.max(due, now));
    this.#onTime();
  }
}
