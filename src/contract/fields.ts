/** Fields that several contracts have, and how a value that does not fit is described. */
import * as v from 'valibot';

/** What a reader gets: nothing in it may be changed. */
export type Immutable<T> = T extends object ? { readonly [K in keyof T]: Immutable<T[K]> } : T;

export const count = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER));
export const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535));
export const name = v.pipe(v.string(), v.maxLength(255));
export const address = v.pipe(v.string(), v.ipv4());
/** First and count. */
export const portRange = v.tuple([port, port]);

/**
 * How an epoch ended. `suspended`: idle; guests are kept for a later resume. `exited`: the guest ended by itself.
 * `released`: guests were stopped on request. `fenced`: a newer epoch exists. `renew`: the function's time is nearly
 * up; invoke again at once.
 */
export const outcome = v.picklist(['suspended', 'exited', 'released', 'fenced', 'renew']);

/** A frame as its schema describes it, or the first field that does not fit and why, for people. */
export function checkedBy<S extends v.GenericSchema>(
  schema: S,
  frame: { readonly type: string },
): { readonly frame: Immutable<v.InferOutput<S>> } | { readonly problem: string } {
  const result = v.safeParse(schema, frame);
  if (result.success) return { frame: result.output as Immutable<v.InferOutput<S>> };
  return { problem: `a '${frame.type.slice(0, 40)}' frame: ${problemOf(result.issues[0], 'frame')}` };
}

const MOST_OF_PROBLEM = 200;

/** @param whole the name of the value that was checked, for an issue with none of its fields */
export function problemOf(issue: v.BaseIssue<unknown>, whole: string): string {
  const unknown = issue.type === 'strict_object' && issue.expected === 'never';
  // The sender may have chosen long names and values.
  const where = (v.getDotPath(issue) ?? whole).slice(0, MOST_OF_PROBLEM);
  return `${where}: ${unknown ? 'this field is unknown' : issue.message.slice(0, MOST_OF_PROBLEM)}`;
}
