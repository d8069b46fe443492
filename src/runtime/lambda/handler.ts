/**
 * What the supervisor layer exposes to Lambda: `handler`. The supervisor lives as long as the sandbox does, across the
 * invocations that start, resume, renew and release its host.
 *
 * A cold start is what somebody's connect waits for. So this module loads nothing; the rest is loaded, and what can be prepared
 * is prepared, while the runtime is on its way to fetch the first invocation.
 */

import { RUN_DIR_ENV } from '../../contract/abi/shim';
import type { Invocation, InvocationResult } from '../../contract/platform/invocation';
import type { Supervisor } from '../supervisor/run/supervisor';

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

let supervisor: Supervisor | undefined;
let loading: Promise<Supervisor> | undefined;

async function start(): Promise<Supervisor> {
  const { Supervisor, toStdout } = await import('../supervisor/index.js');
  const { IMAGINARY_FLAT } = process.env;
  supervisor = new Supervisor({
    runDir: process.env[RUN_DIR_ENV] ?? '/tmp/.imaginary',
    flat: IMAGINARY_FLAT ? Number(IMAGINARY_FLAT) : undefined,
    environment: process.env,
    write: toStdout,
  });
  return supervisor;
}
function load(): Promise<Supervisor> {
  loading ??= start();
  return loading;
}
setImmediate(
  () =>
    void load().then(
      (loaded) => loaded.prepare(),
      // The invocation fails in the same way, and says so.
      () => undefined,
    ),
);

/** The platform kills what is left soon after the signal. */
const SHUTDOWN_LIMIT = 1_500;

process.on('SIGTERM', () => {
  const exit = () => process.exit(0);
  if (!supervisor) exit();
  setTimeout(exit, SHUTDOWN_LIMIT);
  // The result of an open invocation still has to be sent by the runtime that called us.
  const ended = () => setTimeout(exit, 50);
  void supervisor?.shutdown('the sandbox is shut down').then(ended, ended);
});
process.on('exit', () => supervisor?.kill());

export async function handler(event: unknown, context: LambdaContext): Promise<InvocationResult> {
  const invocation = parseInvocation(event);
  return (await load()).invoke(invocation, () => context.getRemainingTimeInMillis());
}

const isText = (value: unknown) => typeof value === 'string';
/** Every field of an invocation, and what it must be. No schema of a library: that would be loaded before the runtime takes its first invocation. */
const FIELDS: {
  readonly [F in keyof Required<Invocation>]: readonly [check: (value: unknown) => boolean, rule: string];
} = {
  version: [(value) => value === 1, '1'],
  cluster: [isText, 'a string'],
  host: [isText, 'a string'],
  epoch: [Number.isSafeInteger, 'a whole number'],
  oldest: [(value) => value === undefined || Number.isSafeInteger(value), 'a whole number, or nothing'],
  action: [(value) => value === 'run' || value === 'release', "'run' or 'release'"],
  seed: [isText, 'a string'],
  secret: [isText, 'a string'],
};

function parseInvocation(event: unknown): Invocation {
  if (typeof event !== 'object' || event === null) throw new InvocationError('it is not an object');
  for (const field of Object.keys(event)) {
    if (!Object.hasOwn(FIELDS, field)) throw new InvocationError(`the field '${field}' is unknown`);
  }
  const fields = event as Record<string, unknown>;
  for (const [field, [check, rule]] of Object.entries(FIELDS)) {
    if (check(fields[field])) continue;
    const is = field === 'secret' ? typeof fields[field] : JSON.stringify(fields[field]);
    throw new InvocationError(`'${field}' is ${is}; allowed: ${rule}`);
  }
  return event as Invocation;
}
