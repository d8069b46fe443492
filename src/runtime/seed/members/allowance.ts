/**
 * Whether so much more is allowed now: `burst` at once, and `rate` each second. What is not allowed is not counted.
 */
export function allowance(burst: number, rate: number): (amount?: number) => boolean {
  let left = burst;
  let since = performance.now();
  return (amount = 1) => {
    const now = performance.now();
    left = Math.min(burst, left + ((now - since) * rate) / 1_000);
    since = now;
    if (left < amount) return false;
    left -= amount;
    return true;
  };
}
