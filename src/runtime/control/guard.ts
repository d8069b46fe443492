/**
 * Messages of others and a lack of resources must not end this process, which has guests: an error in the handler of an
 * event is logged, and the handler's `refuse` is called. Only the event's sender pays for it.
 */
import type { Log } from './session-options';

/**
 * Calls `act`. `refuse` is called when it throws, or when its promise is rejected.
 * @param what names the event in the log: one of a few fixed texts
 */
export type Guard = (what: string, act: () => unknown, refuse?: (error: Error) => void) => void;

/** Each kind of fault is logged once in so many milliseconds: its cause may come as often as it likes. */
const QUIET = 1_000;

export function createGuard(log: Log): Guard {
  const last = new Map<string, number>();
  const report = (what: string, error: Error) => {
    const now = performance.now();
    if (now - (last.get(what) ?? Number.NEGATIVE_INFINITY) < QUIET) return;
    last.set(what, now);
    log('error', `${what} failed here: ${error.stack ?? error.message}`);
  };
  return (what, act, refuse) => {
    const failed = (error: unknown) => {
      const known = error instanceof Error ? error : new Error(String(error));
      report(what, known);
      try {
        refuse?.(known);
      } catch (second) {
        report(`${what} (its refusal)`, second as Error);
      }
    };
    try {
      const result = act();
      if (result instanceof Promise) result.catch(failed);
    } catch (error) {
      failed(error);
    }
  };
}
