/** Edges, as operators are sent them: which hosts are started with a host, and whether that was right. */
import * as v from 'valibot';
import { count, type Immutable, name } from '../fields';

export const clusterEdge = v.strictObject({
  /** The host that connects. */
  from: name,
  /** The host that is started with it. */
  to: name,
  /** `forgotten`: the guesses were wrong, and nothing is started because of it. */
  kind: v.picklist(['declared', 'learnt', 'forgotten']),
  /** Starts because of it after which `from` did connect. */
  hits: count,
  /** Starts because of it after which `from` did not. */
  misses: count,
  /** Milliseconds that hosts were up because of it while nobody connected to them. */
  wastedMs: v.number(),
  /** Those starts. */
  wastedStarts: count,
});
export type ClusterEdge = Immutable<v.InferOutput<typeof clusterEdge>>;
