/** So much at once, and so much each second. */
export class Allowance {
  readonly #burst: number;
  readonly #rate: number;
  #left: number;
  #since = performance.now();

  constructor(burst: number, rate: number) {
    this.#burst = burst;
    this.#rate = rate;
    this.#left = burst;
  }

  /** Whether this amount is allowed now. If not, nothing is counted. */
  take(amount = 1): boolean {
    const now = performance.now();
    this.#left = Math.min(this.#burst, this.#left + ((now - this.#since) * this.#rate) / 1_000);
    this.#since = now;
    if (this.#left < amount) return false;
    this.#left -= amount;
    return true;
  }
}
