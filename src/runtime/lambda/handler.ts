/**
 * What the supervisor layer exposes to Lambda: `handler`. The supervisor lives as long as the sandbox does, across the
 * invocations that start, resume, renew and release its host.
 */
import type { Invocation, InvocationResult } from '../protocol/invocation';
import { RUN_DIR_ENV } from '../protocol/shim';
import { toStdout } from '../supervisor/log';
import { createSupervisor } from '../supervisor/supervisor';

/** What we use of Lambda's context object. */
export interface LambdaContext {
  getRemainingTimeInMillis(): number;
}

/** The event is not what a seed of this version sends. */
export class InvocationError extends Error {
  readonly code = 'BAD_INVOCATION';
  constructor(problem: string) {
    super(`the event is not an invocation by a seed: ${problem}`);
    this.name = 'InvocationError';
  }
}

const { IMAGINARY_FLAT } = process.env;
const supervisor = createSupervisor({
  runDir: process.env[RUN_DIR_ENV] ?? '/tmp/.imaginary',
  flat: IMAGINARY_FLAT ? Number(IMAGINARY_FLAT) : undefined,
  environment: process.env,
  write: toStdout,
});

/** The platform kills what is left soon after it has asked. */
const SHUTDOWN_LIMIT = 1_500;

process.on('SIGTERM', () => {
  const exit = () => process.exit(0);
  setTimeout(exit, SHUTDOWN_LIMIT);
  // The result of an open invocation still has to be sent by the runtime that called us.
  void supervisor.shutdown('the sandbox is shut down').finally(() => setTimeout(exit, 50));
});
process.on('exit', () => supervisor.kill());

export async function handler(event: unknown, context: LambdaContext): Promise<InvocationResult> {
  return supervisor.invoke(parseInvocation(event), () => context.getRemainingTimeInMillis());
}

function parseInvocation(event: unknown): Invocation {
  if (typeof event !== 'object' || event === null) throw new InvocationError('it is not an object');
  const fields = event as Record<string, unknown>;
  if (fields.version !== 1) throw new InvocationError(`version ${JSON.stringify(fields.version)}; allowed: 1`);
  for (const name of ['cluster', 'host', 'seed', 'secret']) {
    if (typeof fields[name] !== 'string') throw new InvocationError(`'${name}' is not a string`);
  }
  if (!Number.isSafeInteger(fields.epoch)) throw new InvocationError("'epoch' is not a whole number");
  if (fields.action !== 'run' && fields.action !== 'release') {
    throw new InvocationError(`action ${JSON.stringify(fields.action)}; allowed: 'run', 'release'`);
  }
  return event as Invocation;
}
