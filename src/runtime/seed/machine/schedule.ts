import { type NextTime, parseSchedule } from '../../../contract/manifest/schedule';

/** What setTimeout can wait for: 24 days. */
const LONGEST = 2 ** 31 - 1;

/** Calls at the times of a schedule expression, by the time of day: a clock that is set back or forward is followed. */
export class Schedule {
  readonly #next: NextTime;
  readonly #onTime: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(expression: string, onTime: () => void) {
    this.#next = parseSchedule(expression)!;
    this.#onTime = onTime;
    this.#arm(this.#next(Date.now()));
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  #arm(due: number | undefined): void {
    if (due === undefined) return;
    const left = due - Date.now();
    this.#timer = setTimeout(() => (left > LONGEST ? this.#arm(due) : this.#call()), Math.min(left, LONGEST));
  }

  #call(): void {
    // Timers may be a little early: the time that this was is over in any case.
    this.#arm(this.#next(Date.now() + 1_000));
    this.#onTime();
  }
}
