/** What the start of a host's guest waits for, across sessions: a host may be renewed while it waits. */
import type { ManifestHost } from '../../../contract/manifest/manifest';
import { BarrierError, type Coordination } from '../../control/index';

export type StartBarrierRule = NonNullable<ManifestHost['startBarrier']>;

export class StartBarrier {
  /** Rejects with a BarrierError. */
  readonly met: Promise<void>;
  readonly #rule: StartBarrierRule;
  readonly #since = performance.now();
  readonly #closed = new AbortController();
  #resolve: () => void = () => undefined;
  #reject: (error: unknown) => void = () => undefined;

  constructor(rule: StartBarrierRule) {
    this.#rule = rule;
    this.met = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.met.then(
      () => this.close(),
      () => this.close(),
    );
  }

  /** There is a session again. */
  use(coordination: Coordination): void {
    if (this.#closed.signal.aborted) return;
    const options = { signal: this.#closed.signal, since: this.#since };
    coordination.barrier(this.#rule, options).then(this.#resolve, (error) => {
      // The session has ended: there will be another one.
      const goesOn = error instanceof BarrierError && error.code === 'ended';
      if (!goesOn) this.#reject(error);
    });
  }

  /** Nothing is to be started any more. `met` stays as it is. */
  close(): void {
    this.#closed.abort();
  }

  /** For operators. */
  get text(): string {
    const { count, hosts } = this.#rule;
    const names = hosts && `${hosts.slice(0, 4).join(', ')}${hosts.length > 4 ? `, ${hosts.length - 4} more` : ''}`;
    return `the start barrier: ${[count && `${count} hosts`, names].filter(Boolean).join(', and ')}`;
  }
}
