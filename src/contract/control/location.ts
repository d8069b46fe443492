/** Where a host runs now, as the seed knows it and supervisors learn it. */
import * as v from 'valibot';
import { address, count, type Immutable, name, port } from '../fields';
import { natReport } from '../peer/peer-messages';

export const hostState = v.picklist(['imagined', 'allocating', 'running', 'suspended', 'failed']);
export type HostState = v.InferOutput<typeof hostState>;

/** Where a listening port of a guest really is. */
export const portMapping = v.strictObject({
  /** The port as the guest knows it. */
  port,
  /** The port that is really bound. */
  realPort: port,
  /** `loopback` is never sent to other hosts. */
  scope: v.picklist(['any', 'host', 'loopback']),
  /** Absent: TCP. */
  protocol: v.optional(v.literal('udp')),
});
export type PortMapping = Immutable<v.InferOutput<typeof portMapping>>;

export const location = v.strictObject({
  host: name,
  epoch: count,
  /** Connections to epochs before this one have ended. Absent: of no epoch is that certain. */
  oldest: v.optional(count),
  state: hostState,
  /** Real IPv4 address, while running. */
  address: v.optional(address),
  ports: v.array(portMapping),
  /** Absent: the host has not found out about its NAT yet. */
  nat: v.optional(natReport),
});
export type Location = Immutable<v.InferOutput<typeof location>>;
