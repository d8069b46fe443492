/** Fields that several schemas have, and what keeps a schema and the type that it checks one and the same. */
import * as v from 'valibot';
import type { Same } from '../manifest/same';

export const count = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER));
export const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535));
export const name = v.pipe(v.string(), v.maxLength(255));
export const address = v.pipe(v.string(), v.ipv4());
/** First and count. */
export const portRange = v.tuple([port, port]);
export const portMapping = v.strictObject({
  port,
  realPort: port,
  scope: v.picklist(['any', 'host', 'loopback']),
  protocol: v.optional(v.literal('udp')),
});
export const natReport = v.strictObject({
  kind: v.picklist(['none', 'port-preserving', 'endpoint-independent', 'symmetric', 'unknown']),
  reflexiveAddress: address,
  localAddress: address,
  ports: portRange,
});
export const recipient = v.union([name, count]);

type Typed = { readonly type: string };
/** Types of messages that are not the same, field by field, in two unions of messages. */
export type Differing<A extends Typed, B extends Typed> = {
  [K in A['type'] | B['type']]: Same<Extract<A, { type: K }>, Extract<B, { type: K }>> extends true ? never : K;
}[A['type'] | B['type']];

/**
 * `T`, which the schema `S` must describe field by field. Where it does not, this is the names of the messages that differ, to
 * which no message can be assigned: the compiler refuses what a schema has checked, and says which.
 */
export type Agreed<S extends v.GenericSchema<unknown, Typed>, T extends Typed> = [
  Differing<v.InferOutput<S>, T>,
] extends [never]
  ? T
  : { readonly differing: Differing<v.InferOutput<S>, T> };

/** A frame as its schema says it is, or what is wrong with it, for people: which field, and why. */
export function checkedBy<S extends v.GenericSchema<unknown, Typed>>(
  schema: S,
  frame: Typed,
): { readonly frame: v.InferOutput<S> } | { readonly problem: string } {
  const result = v.safeParse(schema, frame);
  if (result.success) return { frame: result.output };
  return { problem: `a '${frame.type.slice(0, 40)}' frame: ${problemOf(result.issues[0], 'frame')}` };
}

const MOST_OF_PROBLEM = 200;

/** @param whole what it is called in which the issue is */
export function problemOf(issue: v.BaseIssue<unknown>, whole: string): string {
  const unknown = issue.type === 'strict_object' && issue.expected === 'never';
  // Whoever sent it may have chosen long names and values.
  const where = (v.getDotPath(issue) ?? whole).slice(0, MOST_OF_PROBLEM);
  return `${where}: ${unknown ? 'this field is unknown' : issue.message.slice(0, MOST_OF_PROBLEM)}`;
}
