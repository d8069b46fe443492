/** A failure of the local platform that its user can act on. */
export class LocalError extends Error {
  /**
   * @param code short and stable: `assembly`, `no-cluster`, `several-clusters`, `already-running`, `port-in-use`,
   *   `no-address`, `not-built`, `disk-full`, `state-dir`, `seed`, `sandbox`, `network`, `nat`, `certificate`
   * @param next the next step, as a sentence or a command line
   */
  constructor(
    readonly code: string,
    message: string,
    readonly next?: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'LocalError';
  }
}
