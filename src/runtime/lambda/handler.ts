/**
 * What the supervisor layer exposes to Lambda: `handler`. The supervisor lives as long as the sandbox does, across the
 * invocations that start, resume, renew and release its host.
 *
 * A cold start is what somebody's connect waits for. So this module loads nothing; the rest is loaded, and what can be
 * prepared is prepared, while the runtime is on its way to fetch the first invocation.
 */

import { RUN_DIR_ENV } from '../../contract/abi/shim';
import type { InvocationResult, parseInvocation } from '../../contract/platform/invocation';
import type { Supervisor } from '../supervisor/run/supervisor';
import { loadCompiled } from './compiled';

/** What we use of Lambda's context object. */
export interface LambdaContext {
  getRemainingTimeInMillis(): number;
  /** Of a function with tenant isolation. */
  readonly tenantId?: string;
}

let supervisor: Supervisor | undefined;
interface Loaded {
  readonly supervisor: Supervisor;
  readonly parseInvocation: typeof parseInvocation;
}
let loading: Promise<Loaded> | undefined;

async function start(): Promise<Loaded> {
  const compiled = loadCompiled('supervisor') as typeof import('./supervisor.js') | undefined;
  const { Supervisor, parseInvocation, toStdout } = compiled ?? (await import('./supervisor.js'));
  const { IMAGINARY_FLAT } = process.env;
  supervisor = new Supervisor({
    runDir: process.env[RUN_DIR_ENV] ?? '/tmp/.imaginary',
    flat: IMAGINARY_FLAT ? Number(IMAGINARY_FLAT) : undefined,
    environment: process.env,
    write: toStdout,
  });
  return { supervisor, parseInvocation };
}
function load(): Promise<Loaded> {
  loading ??= start();
  return loading;
}
// An invocation that waits already comes first: it prepares what it needs while the seed answers.
const prepare = ({ supervisor }: Loaded) => setImmediate(() => supervisor.prepare());
setImmediate(
  () =>
    void load().then(prepare, () => {
      // The invocation fails in the same way, and says so.
    }),
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
  const loaded = await load();
  const invocation = loaded.parseInvocation(event, context.tenantId || undefined);
  // The platform's own count is by the time of day, which may be set meanwhile.
  const deadline = performance.now() + context.getRemainingTimeInMillis();
  return loaded.supervisor.invoke(invocation, () => deadline - performance.now());
}
