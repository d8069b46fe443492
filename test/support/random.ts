/** Pseudo-random numbers, the same ones for the same seed: what a test finds, it finds again. */

/** @returns a whole number from 0 to below `limit`, at each call */
export function randomNumbers(seed: number): (limit: number) => number {
  let state = seed >>> 0;
  // mulberry32
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  };
}
