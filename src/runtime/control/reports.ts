/** What a member reports for operators. It is kept until there is a connection. */
import type { HeldBy, ReportedEvent, ToSeed } from '../../contract/control/to-seed';
import type { FrameOf, ReportDetail } from './session-options';

const KEPT_REPORTS = 100;

export class Reports {
  readonly #send: (frame: FrameOf<ToSeed, 'report' | 'held'>) => boolean;
  readonly #kept: Array<FrameOf<ToSeed, 'report'>> = [];
  #held: FrameOf<ToSeed, 'held'> | undefined;

  /** @param send false: there is no connection to the seed; `joined` is called when there is one again */
  constructor(send: (frame: FrameOf<ToSeed, 'report' | 'held'>) => boolean) {
    this.#send = send;
  }

  report(event: ReportedEvent, detail: ReportDetail): void {
    const frame = { type: 'report', event, detail } as const;
    if (this.#send(frame)) return;
    this.#kept.push(frame);
    if (this.#kept.length > KEPT_REPORTS) this.#kept.shift();
  }

  held(by: HeldBy, what?: string): void {
    this.#held = { type: 'held', by, what };
    this.#send(this.#held);
  }

  /** There is a connection again, maybe to another seed. */
  joined(): void {
    for (const report of this.#kept.splice(0)) this.#send(report);
    if (this.#held) this.#send(this.#held);
  }
}
