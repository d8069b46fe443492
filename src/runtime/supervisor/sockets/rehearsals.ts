/** When a member rehearses first connections (`rehearsal.ts`): once, and while nobody waits for it. */
import { afterReading } from '../../after-reading';
import type { Guard } from '../../control/guard';
import { rehearseConnect, rehearseRequest } from './rehearsal';

/** Milliseconds from a guest's first listener on: who waits for the host has connected to it by then. */
export const AWAITED = 10;

export interface RehearsalsOptions {
  /** Network `flat`: its number. */
  readonly flat: number | undefined;
  readonly guard: Guard;
  /** Goes through a guest's connect. */
  readonly connect?: typeof rehearseConnect;
  /** Goes through another host's. */
  readonly request?: typeof rehearseRequest;
}

export class Rehearsals {
  readonly #options: RehearsalsOptions;
  #done = false;
  #giveUp: (() => void) | undefined;

  constructor(options: RehearsalsOptions) {
    this.#options = options;
  }

  /** A guest waits for another host, or is likely to connect to one at once. */
  beforeConnect(): void {
    const { flat, connect = rehearseConnect } = this.#options;
    this.#once(() => connect(flat));
  }

  /** A guest listens. A host that nobody waits for was started ahead of a connect: it has the time. */
  listens(): void {
    const { flat, connect = rehearseConnect, request = rehearseRequest } = this.#options;
    this.#giveUp ??= afterReading(AWAITED, () =>
      this.#once(async () => {
        // On network `flat` other hosts' guests connect by themselves.
        if (flat === undefined) await request();
        await connect(flat);
      }),
    );
  }

  /** Another member has sent something: nothing is done ahead of what it wants. */
  met(): void {
    this.#giveUp?.();
    this.#giveUp ??= () => undefined;
  }

  close(): void {
    this.met();
    this.#done = true;
  }

  #once(act: () => Promise<unknown>): void {
    if (this.#done) return;
    this.#done = true;
    this.#options.guard('a rehearsal', act);
  }
}
