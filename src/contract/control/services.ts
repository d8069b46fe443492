/** Services, as the seed publishes them to the members that connect to them. */
import * as v from 'valibot';
import { count, type Immutable, name, port } from '../fields';
import { hostState } from './location';

/** What of a service never changes: in its entry of the directory. */
export interface ServiceTerms {
  /** Names of its hosts: the instances, then the functions, each in the order of the manifest. */
  readonly members: readonly string[];
  /** The first so many of them are instances. */
  readonly instances: number;
  readonly maxConnections: number;
  /** Percent of one CPU. Absent: CPU does not count. */
  readonly maxCpu?: number;
  readonly sticky: boolean;
}

/** What is known of one host of a service. */
const memberView = v.strictObject({
  state: hostState,
  /** Connections that its guests have accepted and that are open, as its supervisor reported last. */
  connections: count,
  /** CPU time of its guests, in percent of one CPU, as its supervisor reported last. */
  cpu: count,
  /** What is left of the load fits on the others: it gets no new connections, so that it becomes idle. */
  draining: v.boolean(),
});
export type MemberView = Immutable<v.InferOutput<typeof memberView>>;

const cpu = v.pipe(count, v.maxValue(1_000_000));

/** To the seed: see `toSeed`. */
export const serviceFramesToSeed = [
  /** A guest connects to a service: from now on its state is sent, now and whenever it has changed, as `service`. */
  v.strictObject({ type: v.literal('useService'), service: name }),
  /** What a host that is in a service has to do now: open connections that its guests have accepted, and CPU. */
  v.strictObject({ type: v.literal('load'), connections: v.pipe(count, v.maxValue(1_000_000)), cpu }),
  /** For operators: the host of the service that a guest here was connected to, and why. */
  v.strictObject({
    type: v.literal('chosen'),
    service: name,
    member: name,
    port,
    why: v.pipe(v.string(), v.maxLength(100)),
  }),
] as const;

/** From the seed: see `fromSeed`. */
export const serviceFramesFromSeed = [
  /** The hosts of a service, in the order of its `ServiceTerms`. Answered by `ack` with the service's name. */
  v.strictObject({ type: v.literal('service'), service: name, version: count, members: v.array(memberView) }),
] as const;
