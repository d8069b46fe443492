/**
 * Asynchronous (`Event`) invocations: accepted at once, run in order of arrival as there is room, repeated when they
 * fail.
 */

import type { Request } from '../sandbox/sandbox';
import { type FunctionPool, ThrottledError } from './functions';

export interface AsyncQueue {
  /** @param done called when it is run, or dropped */
  add(pool: FunctionPool, request: Request, done: () => void): void;
  /** Drops what waits. What runs belongs to its function. */
  close(): void;
}

interface Event {
  readonly pool: FunctionPool;
  readonly request: Request;
  readonly since: number;
  readonly done: () => void;
}

export interface AsyncOptions {
  /** Milliseconds before the first and the second repetition after an error. Lambda's: 1 and 2 minutes. */
  readonly retryDelays?: readonly number[];
  /** Each is delivered twice at the same time, with the same id: the queue is consistent in the end only. */
  readonly duplicates?: boolean;
  /** What could not be done in the end, for the log. */
  readonly onDropped?: (functionName: string, requestId: string, reason: string) => void;
}

const RETRY_DELAYS = [60_000, 120_000];
/** Throttled events come again after a second, then less and less often, for as long as Lambda keeps them. */
const THROTTLE = { first: 1_000, most: 300_000, age: 6 * 3_600_000 };

export function createAsyncQueue(options: AsyncOptions = {}): AsyncQueue {
  const delays = options.retryDelays ?? RETRY_DELAYS;
  const timers = new Set<NodeJS.Timeout>();
  let closed = false;

  const later = (delay: number, what: () => void) => {
    if (closed) return;
    const timer = setTimeout(() => {
      timers.delete(timer);
      what();
    }, delay);
    timers.add(timer);
  };

  const attempt = async (event: Event, errors: number, throttled: number) => {
    if (closed) return;
    const { pool, request, since, done } = event;
    const again = (delay: number, nextErrors: number, nextThrottled: number) =>
      later(delay, () => void attempt(event, nextErrors, nextThrottled));
    const drop = (reason: string) => {
      done();
      options.onDropped?.(pool.fn.name, request.requestId, reason);
    };
    try {
      const { outcome } = await pool.invoke(request);
      if (outcome.type === 'response') return done();
      if (errors < delays.length) again(delays[errors], errors + 1, 0);
      else drop(`failed ${errors + 1} times: ${outcome.body.toString('utf8')}`);
    } catch (error) {
      if (!(error instanceof ThrottledError)) drop((error as Error).message);
      else if (performance.now() - since > THROTTLE.age) drop('throttled for six hours');
      else again(Math.min(THROTTLE.most, THROTTLE.first * 2 ** throttled), errors, throttled + 1);
    }
  };

  return {
    add: (pool, request, done) => {
      let deliveries = options.duplicates ? 2 : 1;
      const ended = () => {
        deliveries -= 1;
        if (deliveries === 0) done();
      };
      for (let i = deliveries; i > 0; i--) void attempt({ pool, request, done: ended, since: performance.now() }, 0, 0);
    },
    close: () => {
      closed = true;
      for (const timer of timers) clearTimeout(timer);
      timers.clear();
    },
  };
}
