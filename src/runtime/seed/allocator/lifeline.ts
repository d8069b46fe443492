import type { Invocation } from '../../../contract/platform/invocation';
import { pause } from '../../pause';
import type { Invoke, InvokeOutcome } from './lambda';

export interface LifelineOptions {
  readonly functionName: string;
  readonly invocation: Invocation;
  /** Milliseconds that the request may take: more than the function's own timeout. */
  readonly limit: number;
  readonly invoke: Promise<Invoke>;
  /** The invocation before, on the same function: it has to end first. */
  readonly previous: Lifeline | undefined;
  /** `performance.now()` before which nothing is sent: an invocation that cannot be observed is about to return. */
  readonly notBefore: number;
  readonly onSend: (attempt: number) => void;
  readonly onThrottled: (reason: string, attempt: number) => void;
  /** `repeated`: a request was sent again. */
  readonly onEnd: (outcome: InvokeOutcome, repeated: boolean) => void;
}

const FIRST_RETRY = 50;
const LAST_RETRY = 2_000;
/** How long a new invocation waits for the one before, which is about to return. */
const PREVIOUS_LIMIT = 2_000;
/** A connection that breaks this early was a kept-alive one that the server had closed already. */
const STALE_SOCKET = 1_000;

/**
 * One open invocation of a host function: as long as it is open, the host's sandbox belongs to its epoch. Its end is
 * the release or failure signal. Repeats what was certainly not started (429), and a request over a connection that was
 * dead already. Nothing relies on 429: where the function may run several times at once, epochs and lives tell its
 * sandboxes apart.
 */
export class Lifeline {
  /** Resolves when the invocation has ended, after `onEnd`. */
  readonly ended: Promise<void>;
  readonly #options: LifelineOptions;
  readonly #abandoned = new AbortController();
  readonly #stopped = new AbortController();

  constructor(options: LifelineOptions) {
    this.#options = options;
    this.ended = this.#run();
  }

  /** No further try. A request that is on its way goes on, and `onEnd` reports its end; else `onEnd` is not called. */
  giveUp(): void {
    this.#stopped.abort();
  }

  /** Closes the request, too. `onEnd` is not called any more. What runs goes on running. */
  abandon(): void {
    this.#stopped.abort();
    this.#abandoned.abort();
  }

  async #run(): Promise<void> {
    const { previous, notBefore, onSend, onThrottled, onEnd } = this.#options;
    const stopped = this.#stopped.signal;
    if (previous) await Promise.race([previous.ended, pause(PREVIOUS_LIMIT, stopped)]);
    const early = notBefore - performance.now();
    if (early > 0) await pause(early, stopped);
    let invoke: Invoke;
    try {
      invoke = await this.#options.invoke;
    } catch (error) {
      return onEnd({ kind: 'denied', code: 'NoClient', message: (error as Error).message }, false);
    }
    let delay = FIRST_RETRY;
    let repeated = false;
    for (let attempt = 1; !stopped.aborted; attempt++) {
      onSend(attempt);
      const began = performance.now();
      const outcome = await this.#once(invoke);
      if (this.#abandoned.signal.aborted) return;
      if (outcome.kind === 'throttled') {
        onThrottled(outcome.reason, attempt);
        await pause(delay * (0.5 + Math.random() / 2), stopped);
        delay = Math.min(delay * 2, LAST_RETRY);
        continue;
      }
      // Should the function have been started all the same, the sandbox that joins second is fenced.
      if (outcome.kind === 'broken' && isReset(outcome.code) && !repeated && performance.now() - began < STALE_SOCKET) {
        repeated = true;
        continue;
      }
      return onEnd(outcome, repeated);
    }
  }

  async #once(invoke: Invoke): Promise<InvokeOutcome> {
    const { functionName, invocation, limit } = this.#options;
    const abandoned = this.#abandoned.signal;
    const request = new AbortController();
    const stop = () => request.abort();
    abandoned.addEventListener('abort', stop);
    const timer = setTimeout(stop, limit);
    try {
      return await invoke(functionName, invocation, request.signal);
    } finally {
      clearTimeout(timer);
      abandoned.removeEventListener('abort', stop);
    }
  }
}

function isReset(code: string): boolean {
  return code === 'ECONNRESET' || code === 'EPIPE';
}
