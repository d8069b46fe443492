/** What the seed sends when it invokes a host function, and what the function answers. */

export interface Invocation {
  readonly version: 1;
  readonly cluster: string;
  readonly host: string;
  /** The epoch this invocation starts, or resumes when the sandbox holds it suspended. */
  readonly epoch: number;
  /** Epochs before this one have ended: guests of theirs that the sandbox still holds are stopped. Absent: none has for certain. */
  readonly oldest?: number;
  /** `run`: start or resume the host. `release`: stop its guests; answers at once with `released`. */
  readonly action: 'run' | 'release';
  /** `address:port` of the seed's control network. */
  readonly seed: string;
  /** What this host and epoch prove themselves with on the control network: see `joinSecret`. */
  readonly secret: string;
}

export interface InvocationResult {
  readonly host: string;
  readonly epoch: number;
  /**
   * `suspended`: idle; guests are kept for a later resume. `exited`: the guest ended by itself. `released`: guests were
   * stopped on request. `fenced`: a newer epoch exists. `renew`: the function's time is nearly up; invoke again at once.
   */
  readonly outcome: 'suspended' | 'exited' | 'released' | 'fenced' | 'renew';
  /** With `exited`: the guest's exit code, or null when a signal ended it. */
  readonly exitCode?: number | null;
  readonly signal?: string | null;
  /** With `exited`: why, for people, e.g. which file of the command was not found. */
  readonly reason?: string;
}
