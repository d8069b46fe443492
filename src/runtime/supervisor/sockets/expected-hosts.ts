/**
 * Hosts that the seed has started because guests here are likely to connect to them. Where they are is known before
 * anybody has located them, so the seed is told once a guest connects: otherwise the start was in vain, to all it knows.
 */
export class ExpectedHosts {
  /** The epoch of each host. */
  readonly #epochs = new Map<string, number>();
  readonly #report: (host: string, epoch: number) => void;

  constructor(report: (host: string, epoch: number) => void) {
    this.#report = report;
  }

  add(host: string, epoch: number): void {
    this.#epochs.set(host, epoch);
  }

  /** A guest connects to that host, or sends it a datagram. Undefined: to none of the cluster's. */
  used(host: string | undefined): void {
    const epoch = host === undefined ? undefined : this.#epochs.get(host);
    if (host === undefined || epoch === undefined) return;
    this.#epochs.delete(host);
    this.#report(host, epoch);
  }

  /** Without a session nothing is expected. */
  clear(): void {
    this.#epochs.clear();
  }
}
