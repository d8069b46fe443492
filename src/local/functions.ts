/** The functions of a platform: which sandbox serves an invocation, and how many there may be. */
import { randomUUID } from 'node:crypto';
import type { FunctionLog } from './function-log';
import { LIMITS } from './lambda-limits';
import type { Outcome } from './outcome';
import { createSandbox, type Request, type Sandbox } from './sandbox';
import type { SandboxSettings } from './sandbox-process';
import type { LocalFunction } from './types';

/** No sandbox is free, and no further one is allowed. */
export class ThrottledError extends Error {
  readonly code = 'THROTTLED';
  constructor(
    readonly functionName: string,
    readonly reason: 'ReservedFunctionConcurrentInvocationLimitExceeded' | 'ConcurrentInvocationLimitExceeded',
  ) {
    super(`function '${functionName}' runs as often as it may`);
    this.name = 'ThrottledError';
  }
}

export interface Invoked {
  readonly outcome: Outcome;
  /** The end of the log of this invocation. */
  readonly logTail: Buffer;
}

export interface FunctionPool {
  readonly fn: LocalFunction;
  /** @throws ThrottledError before anything was started */
  invoke(request: Omit<Request, 'requestId'> & { readonly requestId?: string }): Promise<Invoked>;
  /** Ends all sandboxes. None is started afterwards. */
  close(): Promise<void>;
}

/** @param owner the function's host; its own name where it is no host's */
export function createFunctionPool(
  fn: LocalFunction,
  owner: string,
  settings: SandboxSettings,
  log: FunctionLog,
): FunctionPool {
  const all = new Set<Sandbox>();
  const idle: Sandbox[] = [];
  const busy = new Set<Sandbox>();
  let closed = false;

  const acquire = (): Sandbox => {
    for (let sandbox = idle.pop(); sandbox; sandbox = idle.pop()) if (sandbox.isAlive()) return sandbox;
    const reserved = fn.reservedConcurrency;
    if (reserved !== undefined && busy.size >= reserved) {
      throw new ThrottledError(fn.name, 'ReservedFunctionConcurrentInvocationLimitExceeded');
    }
    if (busy.size >= LIMITS.concurrency) throw new ThrottledError(fn.name, 'ConcurrentInvocationLimitExceeded');
    const sandbox = createSandbox(fn, owner, settings, log);
    all.add(sandbox);
    void sandbox.ended.then(() => all.delete(sandbox));
    return sandbox;
  };

  return {
    fn,
    invoke: async (request) => {
      if (closed) throw new Error('the platform is stopping');
      const sandbox = acquire();
      busy.add(sandbox);
      const tail = log.tail();
      try {
        const outcome = await sandbox.invoke({ ...request, requestId: request.requestId ?? randomUUID() });
        return { outcome, logTail: tail.end() };
      } catch (error) {
        await sandbox.destroy();
        throw error;
      } finally {
        tail.end();
        busy.delete(sandbox);
        if (sandbox.isAlive()) idle.push(sandbox);
      }
    },
    close: async () => {
      closed = true;
      await Promise.all([...all].map((sandbox) => sandbox.destroy()));
    },
  };
}
