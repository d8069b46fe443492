/** The functions of a platform: which sandbox serves an invocation, and how many there may be. */
import { randomUUID } from 'node:crypto';
import { createSandbox, type Request, type Sandbox } from '../sandbox/sandbox';
import type { SandboxSettings } from '../sandbox/sandbox-process';
import type { LocalFunction } from '../types';
import type { Concurrency } from './concurrency';
import type { FunctionLog } from './function-log';
import { LIMITS } from './lambda-limits';
import type { Outcome } from './outcome';

/** A timer's. */
const LONGEST = 2 ** 31 - 1;

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

/** What a sandbox has of the host that it is for. */
export interface Owner {
  /** The host's name; the function's where it is no host's. Whose slot in the network a sandbox gets. */
  readonly name: string;
  readonly log: FunctionLog;
  /** Milliseconds after which a sandbox without an invocation is ended, as Lambda ends its. */
  readonly keep: number;
}

export interface FunctionPool {
  readonly fn: LocalFunction;
  /** @throws ThrottledError before anything was started */
  invoke(request: Omit<Request, 'requestId'> & { readonly requestId?: string }): Promise<Invoked>;
  /** Ends all sandboxes. None is started afterwards. */
  close(): Promise<void>;
}

/** @param ownerOf by the tenant; undefined: of a function without tenant isolation */
export function createFunctionPool(
  fn: LocalFunction,
  ownerOf: (tenant: string | undefined) => Owner,
  settings: SandboxSettings,
  account: Concurrency,
): FunctionPool {
  /** Each with the only tenant that it serves. */
  const all = new Map<Sandbox, string | undefined>();
  /** The one that was used last is used first. */
  const idle = new Map<Sandbox, NodeJS.Timeout>();
  const busy = new Set<Sandbox>();
  let closed = false;

  const acquire = (tenant: string | undefined, { name, log }: Owner): Sandbox => {
    const reserved = fn.reservedConcurrency;
    if (reserved !== undefined && busy.size >= reserved) {
      throw new ThrottledError(fn.name, 'ReservedFunctionConcurrentInvocationLimitExceeded');
    }
    for (const sandbox of [...idle.keys()].reverse()) {
      if (all.get(sandbox) !== tenant) continue;
      leave(sandbox);
      if (sandbox.isAlive()) return sandbox;
    }
    const most = (reserved ?? account.limit) * LIMITS.tenantSandboxes;
    if (fn.tenantIsolation && all.size >= most) throw new ThrottledError(fn.name, 'ConcurrentInvocationLimitExceeded');
    const sandbox = createSandbox(fn, name, settings, log);
    all.set(sandbox, tenant);
    void sandbox.ended.then(() => {
      leave(sandbox);
      all.delete(sandbox);
    });
    return sandbox;
  };
  const rest = (sandbox: Sandbox, keep: number) => {
    const timer = setTimeout(
      () => {
        idle.delete(sandbox);
        void sandbox.destroy();
      },
      Math.min(keep, LONGEST),
    );
    idle.set(sandbox, timer.unref());
  };
  const leave = (sandbox: Sandbox) => {
    clearTimeout(idle.get(sandbox));
    idle.delete(sandbox);
  };

  return {
    fn,
    invoke: async (request) => {
      if (closed) throw new Error('the platform is stopping');
      const owner = ownerOf(request.tenantId);
      const shares = fn.reservedConcurrency === undefined;
      if (shares && !account.take()) throw new ThrottledError(fn.name, 'ConcurrentInvocationLimitExceeded');
      let sandbox: Sandbox;
      try {
        sandbox = acquire(request.tenantId, owner);
      } catch (error) {
        if (shares) account.give();
        throw error;
      }
      busy.add(sandbox);
      const tail = owner.log.tail();
      try {
        const outcome = await sandbox.invoke({ ...request, requestId: request.requestId ?? randomUUID() });
        return { outcome, logTail: tail.end() };
      } catch (error) {
        await sandbox.destroy();
        throw error;
      } finally {
        tail.end();
        busy.delete(sandbox);
        if (shares) account.give();
        if (sandbox.isAlive()) rest(sandbox, owner.keep);
      }
    },
    close: async () => {
      closed = true;
      for (const timer of idle.values()) clearTimeout(timer);
      await Promise.all([...all.keys()].map((sandbox) => sandbox.destroy()));
    },
  };
}
