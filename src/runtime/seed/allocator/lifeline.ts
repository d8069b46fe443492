import type { Invocation } from '../../../contract/platform/invocation';
import { pause } from '../../pause';
import type { Invoke, InvokeOutcome } from './lambda';

/**
 * One open invocation of a host function: as long as it is open, the host's sandbox belongs to its epoch. Its end is the
 * release or failure signal. Repeats what was certainly not started (429), and a request over a connection that was dead already.
 * Nothing relies on 429: where the function may run several times at once, epochs and lives tell its sandboxes apart.
 */
export interface Lifeline {
  readonly epoch: number;
  readonly action: Invocation['action'];
  /** A request is on its way: the function may be running. False: waiting before the next try. */
  readonly sending: boolean;
  /** The last try that was answered was answered with 429. */
  readonly throttled: boolean;
  /** The request was sent a second time, and the first one may have started a sandbox as well. */
  readonly repeated: boolean;
  /** Resolves when the invocation has ended, after `onEnd`. */
  readonly ended: Promise<void>;
  /** No further try. A request that is on its way goes on, and `onEnd` tells its end; else `onEnd` is not called. */
  giveUp(): void;
  /** Closes the request, too. `onEnd` is not called any more. What runs goes on running. */
  abandon(): void;
}

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
  /** A request is sent. */
  readonly onSend: (attempt: number) => void;
  readonly onThrottled: (reason: string, attempt: number) => void;
  readonly onEnd: (outcome: InvokeOutcome) => void;
}

const FIRST_RETRY = 50;
const LAST_RETRY = 2_000;
/** How long a new invocation waits for the one before, which is about to return. */
const PREVIOUS_LIMIT = 2_000;
/** A connection that breaks this early was a kept-alive one that the server had closed already. */
const STALE_SOCKET = 1_000;

export function openLifeline(options: LifelineOptions): Lifeline {
  const { functionName, invocation, limit, previous } = options;
  const abandoned = new AbortController();
  const stopped = new AbortController();
  let sending = false;
  let throttled = false;
  let repeated = false;

  const once = async (invoke: Invoke): Promise<InvokeOutcome> => {
    const request = new AbortController();
    const stop = () => request.abort();
    abandoned.signal.addEventListener('abort', stop);
    const timer = setTimeout(stop, limit);
    sending = true;
    try {
      return await invoke(functionName, invocation, request.signal);
    } finally {
      sending = false;
      clearTimeout(timer);
      abandoned.signal.removeEventListener('abort', stop);
    }
  };

  const run = async (): Promise<void> => {
    if (previous) await Promise.race([previous.ended, pause(PREVIOUS_LIMIT, stopped.signal)]);
    const early = options.notBefore - performance.now();
    if (early > 0) await pause(early, stopped.signal);
    let invoke: Invoke;
    try {
      invoke = await options.invoke;
    } catch (error) {
      return options.onEnd({ kind: 'denied', code: 'NoClient', message: (error as Error).message });
    }
    let delay = FIRST_RETRY;
    for (let attempt = 1; !stopped.signal.aborted; attempt++) {
      options.onSend(attempt);
      const began = performance.now();
      const outcome = await once(invoke);
      if (abandoned.signal.aborted) return;
      throttled = outcome.kind === 'throttled';
      if (outcome.kind === 'throttled') {
        options.onThrottled(outcome.reason, attempt);
        await pause(delay * (0.5 + Math.random() / 2), stopped.signal);
        delay = Math.min(delay * 2, LAST_RETRY);
        continue;
      }
      // Should the function have been started all the same, the sandbox that joins second is fenced.
      if (outcome.kind === 'broken' && isReset(outcome.code) && !repeated && performance.now() - began < STALE_SOCKET) {
        repeated = true;
        continue;
      }
      options.onEnd(outcome);
      return;
    }
  };

  return {
    epoch: invocation.epoch,
    action: invocation.action,
    get sending() {
      return sending;
    },
    get throttled() {
      return throttled;
    },
    get repeated() {
      return repeated;
    },
    ended: run(),
    giveUp: () => stopped.abort(),
    abandon: () => {
      stopped.abort();
      abandoned.abort();
    },
  };
}

function isReset(code: string): boolean {
  return code === 'ECONNRESET' || code === 'EPIPE';
}
