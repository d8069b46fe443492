/**
 * The lease: of two seeds, the one that holds it serves. No two clocks are compared. A holder counts from before it
 * sent its last renewal; the other one counts from after it saw that renewal, so its count ends later. The holder ends
 * its own a margin earlier still.
 */
import { randomUUID } from 'node:crypto';
import type { Log } from '../../control/session-options';
import { pause } from '../../pause';
import type { Condition, Failure, LeaseItem, LeaseTable, ReadOutcome, WriteOutcome } from './lease-table';
import { clockAfter, endOfTerm, freeFrom, mayAct, STEPS } from './term';

export interface LeaseOptions {
  readonly table: LeaseTable;
  /** How long it lasts from a renewal on, in milliseconds. Default 5,000. */
  readonly duration?: number;
  /** A lease that nobody has held yet is left to others for so many milliseconds. Default 0. */
  readonly yieldFirst?: number;
  /** Milliseconds, from any start. It stands still for nobody: a process that was stopped sees the time that passed. */
  readonly clock?: () => number;
  /** Time of day, milliseconds. */
  readonly timeOfDay?: () => number;
  /** This process may not act any more. Called once. */
  readonly onLost: (reason: string) => void;
  readonly log: Log;
}

export const LEASE_DURATION = 5_000;
/** Between two attempts of which the first has failed. */
const RETRIES = 25;

/** A lease that this process holds, or waits for. */
export class Lease {
  readonly #options: LeaseOptions;
  readonly #duration: number;
  readonly #step: number;
  readonly #clock: () => number;
  readonly #holder = randomUUID();
  readonly #closing = new AbortController();
  /** By `#clock`: from then on this process may not act. */
  #end = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #number = 0;
  #renewal = 0;
  /** What `epochClock` showed at a time of `#clock`. */
  #epochs = { at: 0, shows: 0 };
  #lost = false;

  constructor(options: LeaseOptions) {
    this.#options = options;
    this.#duration = options.duration ?? LEASE_DURATION;
    this.#step = this.#duration / STEPS;
    this.#clock = options.clock ?? (() => performance.now());
  }

  /** The fencing number; 0 before it is held. */
  get number(): number {
    return this.#number;
  }

  /**
   * Milliseconds: never less than what any earlier holder's showed while it held the lease, and never set back or
   * forward. Epochs that begin with it are greater than those of earlier holders, whatever the clocks of their machines
   * show.
   */
  readonly epochClock = (): number => Math.floor(this.#epochs.shows + this.#clock() - this.#epochs.at);

  /**
   * To be called before anything is done as the holder. Where the time is up it calls `onLost` first.
   * @throws LeaseLostError
   */
  readonly check = (): void => {
    if (mayAct(this.#clock(), this.#end) && !this.#lost) return;
    this.#lose('it was not renewed in time');
    throw new LeaseLostError();
  };

  /** Resolves when this process holds the lease, or when the signal is aborted. @returns whether it does */
  async acquire(signal?: AbortSignal): Promise<boolean> {
    const { table, log, yieldFirst = 0 } = this.#options;
    /** The version that was seen last, and since when. */
    let seen: { readonly item: LeaseItem | undefined; readonly since: number } | undefined;
    /** Of a write whose outcome is not known. */
    let tried: { readonly number: number; readonly at: number } | undefined;
    const problems = this.#problems('the lease cannot be read or written');
    while (!signal?.aborted) {
      const read = await table.read(this.#step);
      if (signal?.aborted) break;
      if (read.kind !== 'item') {
        problems.report(read);
        await pause(this.#retryDelay(), signal);
        continue;
      }
      problems.over();
      const { item } = read;
      if (tried && item?.holder === this.#holder && item.number === tried.number) {
        // The write took place after all. It counts from before it was sent.
        if (this.#begin(item, tried.at)) return true;
      }
      if (!seen || !isSame(seen.item, item)) {
        if (item && seen?.item?.holder !== item.holder)
          log('info', 'standing by', { holder: item.holder, number: item.number });
        seen = { item, since: this.#clock() };
      }
      const left = freeFrom(seen.since, item ? item.duration : yieldFirst) - this.#clock();
      if (left > 0) {
        await pause(Math.min(left, this.#step), signal);
        continue;
      }
      const at = this.#clock();
      const next = this.#item((item?.number ?? 0) + 1, 0, this.#nextClock(item));
      const condition: Condition = item
        ? { is: 'unchanged', number: item.number, renewal: item.renewal }
        : { is: 'absent' };
      // The first of several attempts may be the one that takes place.
      if (tried?.number !== next.number) tried = { number: next.number, at };
      const written = await table.write(next, condition, this.#step);
      if (written.kind === 'won' && this.#begin(next, at)) return true;
      if (written.kind === 'won' || written.kind === 'lost') continue;
      problems.report(written);
      await pause(this.#retryDelay(), signal);
    }
    return false;
  }

  /** Gives it back, so that the other seed need not wait. To be called once this process no longer acts as the holder. */
  async release(): Promise<void> {
    const clock = this.epochClock();
    const held = mayAct(this.#clock(), this.#end) && !this.#lost;
    this.#lost = true;
    this.close();
    if (!held) return;
    const item = { ...this.#item(this.#number, this.#renewal + 1, clock), duration: 0 };
    const written = await this.#options.table.write(item, this.#mine(item.renewal), this.#step);
    if (written.kind !== 'won') this.#options.log('warn', `the lease was not given back: ${describe(written)}`);
  }

  /** Renews it no longer, and calls nobody any more. */
  close(): void {
    clearTimeout(this.#timer);
    this.#closing.abort();
  }

  /** False: the time that the write took is more than it has won. */
  #begin({ number, renewal, clock }: LeaseItem, at: number): boolean {
    const end = this.#endAfter(at);
    if (!mayAct(this.#clock(), end)) return false;
    this.#number = number;
    this.#renewal = renewal;
    this.#epochs = { at, shows: clock };
    this.#extend(end);
    void this.#keep();
    return true;
  }

  /** Renews it until it is lost. */
  async #keep(): Promise<void> {
    const { signal } = this.#closing;
    const problems = this.#problems('the lease could not be renewed');
    let delay = this.#step;
    for (;;) {
      await pause(delay, signal);
      if (signal.aborted) return;
      const at = this.#clock();
      if (!mayAct(at, this.#end)) return this.#lose('it was not renewed in time');
      // Each attempt has a number of its own: whichever of them is written, an earlier one that is late is not.
      this.#renewal += 1;
      const item = this.#item(this.#number, this.#renewal, this.epochClock());
      const written = await this.#options.table.write(item, this.#mine(item.renewal), this.#step);
      if (signal.aborted) return;
      if (written.kind === 'lost') return this.#lose('another seed has taken it');
      if (written.kind === 'won') {
        problems.over();
        this.#extend(this.#endAfter(at));
        delay = this.#step;
      } else {
        problems.report(written);
        delay = this.#retryDelay();
      }
    }
  }

  #extend(end: number): void {
    this.#end = end;
    clearTimeout(this.#timer);
    const look = () => {
      const left = this.#end - this.#clock();
      if (left > 0) this.#timer = setTimeout(look, left);
      else this.#lose('it was not renewed in time');
    };
    this.#timer = setTimeout(look, end - this.#clock());
  }

  #lose(reason: string): void {
    if (this.#lost) return;
    this.#lost = true;
    this.close();
    this.#options.onLost(reason);
  }

  #item(number: number, renewal: number, clock: number): LeaseItem {
    return { number, renewal, holder: this.#holder, duration: this.#duration, clock };
  }

  #mine(before: number): Condition {
    return { is: 'held', number: this.#number, holder: this.#holder, before };
  }

  #endAfter(at: number): number {
    return endOfTerm(at, this.#duration);
  }

  #nextClock(before: LeaseItem | undefined): number {
    return clockAfter(before, (this.#options.timeOfDay ?? Date.now)());
  }

  #retryDelay(): number {
    return (this.#duration / RETRIES) * (0.5 + Math.random());
  }

  /** Reports the first of a row of failures, and its end. */
  #problems(what: string) {
    const { log } = this.#options;
    let reported: Failure['kind'] | undefined;
    return {
      report: (failure: Failure) => {
        if (reported === failure.kind) return;
        reported = failure.kind;
        log(failure.kind === 'denied' ? 'error' : 'warn', `${what}: ${describe(failure)}`);
      },
      over: () => {
        if (reported !== undefined) log('info', 'the lease can be read and written again');
        reported = undefined;
      },
    };
  }
}

/** The caller may not act as the holder any more. */
export class LeaseLostError extends Error {
  readonly code = 'LEASE_LOST';
  constructor() {
    super('the lease has ended');
    this.name = 'LeaseLostError';
  }
}

function isSame(a: LeaseItem | undefined, b: LeaseItem | undefined): boolean {
  return a?.number === b?.number && a?.renewal === b?.renewal && a?.holder === b?.holder && a?.duration === b?.duration;
}

function describe(outcome: ReadOutcome | WriteOutcome): string {
  return 'message' in outcome ? `${outcome.kind}: ${outcome.message}` : outcome.kind;
}
