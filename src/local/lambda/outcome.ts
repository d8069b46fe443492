/** How invocations end, in the words of Lambda. */

import type { Exit } from '../sandbox/launcher';
import { LIMITS } from './lambda-limits';
import type { RuntimeEvent } from './runtime-api';

/** `body` is JSON: what the function returned, or `{errorType, errorMessage, …}`. */
export interface Outcome {
  readonly type: 'response' | 'error';
  readonly body: Buffer;
}

/** What can happen to a sandbox that is waited for. */
export type SandboxEvent =
  | RuntimeEvent
  | { readonly type: 'exit'; readonly exit: Exit }
  | { readonly type: 'timeout' }
  /** The platform itself could not do what it had to. */
  | { readonly type: 'failed'; readonly error: Error };

/** @param timeout of the function, milliseconds */
export function outcomeOf(event: SandboxEvent, requestId: string, timeout: number): Outcome {
  const error = (errorType: string, text: string) => fault(errorType, `RequestId: ${requestId} Error: ${text}`);
  switch (event.type) {
    case 'response':
      return { type: 'response', body: event.body };
    case 'error':
    case 'init-error':
      return { type: 'error', body: event.body };
    case 'too-large':
      return fault(
        'Function.ResponseSizeTooLarge',
        `Response payload size exceeded maximum allowed payload size (${LIMITS.response} bytes).`,
      );
    case 'timeout':
      return error('Sandbox.Timedout', timedOut(timeout));
    case 'exit':
      return error('Runtime.ExitError', `Runtime exited ${howItEnded(event.exit)}`);
    case 'failed':
      return error('Sandbox.Failure', event.error.message);
    case 'next':
      return error('Runtime.InvalidState', 'the runtime client asked for an invocation before it answered one');
  }
}

export const timedOut = (timeout: number) => `Task timed out after ${(timeout / 1000).toFixed(2)} seconds`;

const SIGNALS: Record<number, string> = { 6: 'aborted', 9: 'killed', 11: 'segmentation fault', 15: 'terminated' };

function howItEnded({ code, signal }: Exit): string {
  if (signal !== null) return `with error: signal: ${SIGNALS[signal] ?? signal}`;
  return code === 0 ? 'without providing a reason' : `with error: exit status ${code}`;
}

function fault(errorType: string, errorMessage: string): Outcome {
  return { type: 'error', body: Buffer.from(JSON.stringify({ errorType, errorMessage })) };
}
