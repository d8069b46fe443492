/** The account's concurrency: what functions that reserve none share. */
import type { LocalFunction } from '../types';

export interface Concurrency {
  /** Invocations at one time, of all functions of the account. */
  readonly limit: number;
  /** @returns false: the account is used up; nothing is to be given back */
  take(): boolean;
  give(): void;
}

/** What functions reserve is taken away from the others, as on Lambda. */
export function shareConcurrency(limit: number, functions: readonly LocalFunction[]): Concurrency {
  const reserved = functions.reduce((sum, { reservedConcurrency = 0 }) => sum + reservedConcurrency, 0);
  let left = Math.max(0, limit - reserved);
  return {
    limit,
    take: () => {
      if (left === 0) return false;
      left -= 1;
      return true;
    },
    give: () => {
      left += 1;
    },
  };
}
