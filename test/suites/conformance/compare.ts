/** How the tests of a foreign suite ended natively and under the shim, and what differs. No I/O. */

/** `crash`: the test took its process with it, or hung until that was ended. `missing`: it never ran. */
export type Outcome =
  | 'ok'
  | 'skip'
  | 'fail'
  | 'error'
  | 'expected failure'
  | 'unexpected success'
  | 'crash'
  | 'missing';

export interface Ended {
  readonly outcome: Outcome;
  readonly seconds: number;
  /** Why, in the suite's own words. */
  readonly detail: string;
}

/** By test id. */
export type Outcomes = ReadonlyMap<string, Ended>;

export interface Difference {
  readonly test: string;
  readonly native: Ended;
  readonly shim: Ended;
}

/** A difference that stays, and why: documented in docs/transparency.md. */
export interface Known {
  /** One test, or all whose whole id this matches. */
  readonly test: string | RegExp;
  readonly native: Outcome;
  readonly shim: Outcome;
  readonly reason: string;
}

const nowhere: Ended = { outcome: 'missing', seconds: 0, detail: 'the test did not run' };

export function differences(native: Outcomes, shim: Outcomes): Difference[] {
  return [...new Set([...native.keys(), ...shim.keys()])]
    .map((test) => ({ test, native: native.get(test) ?? nowhere, shim: shim.get(test) ?? nowhere }))
    .filter((pair) => pair.native.outcome !== pair.shim.outcome);
}

export function isKnown(difference: Difference, known: readonly Known[]): Known | undefined {
  return known.find(
    (entry) =>
      (typeof entry.test === 'string' ? entry.test === difference.test : entry.test.test(difference.test)) &&
      entry.native === difference.native.outcome &&
      entry.shim === difference.shim.outcome,
  );
}

/**
 * Reads what outcomes.py has written: a line per test when it starts, another when it ends, and one at the very end.
 */
export function parseOutcomes(text: string): { outcomes: Map<string, Ended>; complete: boolean } {
  const outcomes = new Map<string, Ended>();
  let complete = false;
  for (const line of text.split('\n').filter(Boolean)) {
    const entry = JSON.parse(line);
    if (entry.end) complete = true;
    else if (entry.outcome === 'started')
      outcomes.set(entry.id, { outcome: 'crash', seconds: 0, detail: 'its process ended, or was ended, in it' });
    else outcomes.set(entry.id, { outcome: entry.outcome, seconds: entry.seconds, detail: entry.detail });
  }
  return { outcomes, complete };
}

/** `3 ok, 1 skip` */
export function tally(outcomes: Outcomes): string {
  const counts = new Map<Outcome, number>();
  for (const { outcome } of outcomes.values()) counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  return [...counts].map(([outcome, count]) => `${count} ${outcome}`).join(', ');
}
