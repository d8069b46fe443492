/** What the seed sends when it invokes a host function, and what the function answers. */
import * as v from 'valibot';
import { count, type Immutable, name, outcome, problemOf } from '../fields';

const text = v.string('a string');
const whole = v.pipe(v.number('a whole number'), v.safeInteger('a whole number'));

const invocation = v.strictObject({
  version: v.literal(1, '1'),
  cluster: text,
  host: text,
  /** The function has tenant isolation, and the host is the tenant. Absent: the function is the host's alone. */
  pooled: v.optional(v.boolean('true, false or nothing')),
  /** The epoch this invocation starts, or resumes when the sandbox holds it suspended. */
  epoch: whole,
  /**
   * Epochs before this one have ended: guests of theirs that the sandbox still holds are stopped. Absent: none has for
   * certain.
   */
  oldest: v.optional(v.pipe(v.number('a whole number, or nothing'), v.safeInteger('a whole number, or nothing'))),
  /**
   * What the host starts as in a sandbox that does not hold `epoch` (which then has ended). Absent: `epoch` is a new
   * one.
   */
  fresh: v.optional(v.strictObject({ epoch: whole, secret: text }, 'an epoch and a secret, or nothing')),
  /**
   * `run`: start or resume the host. `release`: stop its guests; answers with `released` when they have ended. `drain`:
   * the same of guests whose host has another sandbox by now.
   */
  action: v.picklist(['run', 'release', 'drain'], "'run', 'release' or 'drain'"),
  /** `address:port` of the seed's control network. */
  seed: text,
  /** The same of the cluster's other seed, which takes over when this one is gone. Absent: there is none. */
  standby: v.optional(v.string('a string, or nothing')),
  /** What this host and epoch prove themselves with on the control network: see `joinSecret`. */
  secret: text,
});
export type Invocation = Immutable<v.InferOutput<typeof invocation>>;

const line = v.pipe(
  v.string(),
  v.transform((text) => text.slice(0, 2_000)),
);

/** How a host's command went, where no control connection was there to report it. */
const commandReport = v.strictObject({
  command: v.picklist(['onDrain', 'onRelease']),
  why: v.picklist(['renewal', 'replaced', 'shutdown', 'released']),
  tookMs: count,
  /** It failed: why, for people. */
  reason: v.optional(line),
});
export type CommandReport = Immutable<v.InferOutput<typeof commandReport>>;

/** A host's guests share its sandbox, and may have written this. */
const result = v.strictObject({
  host: name,
  epoch: count,
  outcome,
  /** With `exited`: the guest's exit code, or null when a signal ended it. */
  exitCode: v.optional(v.nullable(v.number())),
  signal: v.optional(v.nullable(name)),
  /** With `fenced`: the newer epoch that the sandbox holds. */
  held: v.optional(count),
  /** With `exited`: why, for people, e.g. which file of the command was not found. */
  reason: v.optional(line),
  commands: v.optional(v.pipe(v.array(commandReport), v.maxLength(2))),
});
export type InvocationResult = Immutable<v.InferOutput<typeof result>>;

/** The event is not what a seed of this version sends. */
export class InvocationError extends Error {
  readonly code = 'BAD_INVOCATION';
  constructor(problem: string) {
    super(`the event is not an invocation by a seed: ${problem}`);
    this.name = 'InvocationError';
  }
}

/**
 * @param tenant that the platform has routed the event by: its sandbox is that tenant's. Undefined: it routes by none
 * @throws InvocationError also where host and tenant are not the same
 */
export function parseInvocation(event: unknown, tenant: string | undefined): Invocation {
  const checked = v.safeParse(invocation, event);
  if (checked.success) return agreed(checked.output, tenant);
  const issue = checked.issues[0];
  const field = v.getDotPath(issue);
  if (field === null) throw new InvocationError('it is not an object');
  if (issue.expected === 'never') throw new InvocationError(`the field '${field}' is unknown`);
  const is = field.endsWith('secret') ? typeof issue.input : JSON.stringify(issue.input);
  // Of a field that is missing the issue does not say what it should be.
  const schema = invocation.entries[field.split('.')[0] as keyof Invocation];
  const rule = issue.type === 'strict_object' && 'message' in schema ? schema.message : issue.message;
  throw new InvocationError(`'${field}' is ${is}; allowed: ${rule}`);
}

/** A host in the sandbox of another tenant would be in another host's files. */
function agreed(asked: Invocation, tenant: string | undefined): Invocation {
  const { host, pooled } = asked;
  if (tenant === (pooled ? host : undefined)) return asked;
  const is = `is '${host}'${pooled ? ', pooled' : ''}`;
  const allowed = tenant === undefined ? 'no pooled host' : `'${tenant}', pooled`;
  const sandbox = tenant === undefined ? 'of no tenant' : `of tenant '${tenant}'`;
  throw new InvocationError(`'host' ${is}; allowed: ${allowed}, as the sandbox is ${sandbox}`);
}

export function checkResult(value: unknown): { readonly result: InvocationResult } | { readonly problem: string } {
  const checked = v.safeParse(result, value);
  return checked.success ? { result: checked.output } : { problem: problemOf(checked.issues[0], 'result') };
}
