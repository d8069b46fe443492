/** Looks that may be dear, as seldom as they have to be. */

/**
 * How long to wait after a look, so that looking takes at most that part of the time. One slow look says nothing yet, as
 * the machine may be busy with something else: the cheaper one of the last two counts.
 *
 * @param share from 0 to 1
 * @returns takes what the look has cost, and the shortest and the longest wait: all milliseconds
 */
export function spacing(share: number): (cost: number, shortest: number, longest?: number) => number {
  let before = 0;
  return (cost, shortest, longest = Number.POSITIVE_INFINITY) => {
    const dear = Math.min(cost, before) / share;
    before = cost;
    return Math.max(shortest, Math.min(longest, dear));
  };
}
