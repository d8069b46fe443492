/**
 * Which hosts of a service get no new connections, so that they become idle: a pure function of what was reported. What
 * ends a host is its own idleness, as ever.
 */

export interface ServingHost {
  readonly running: boolean;
  /** Of an instance: it runs anyway, and is never drained. */
  readonly instance: boolean;
  readonly connections: number;
  readonly cpu: number;
  readonly draining: boolean;
}

export interface Load {
  readonly maxConnections: number;
  readonly maxCpu?: number;
}

/** A host is drained when the load fits into this part of the others; */
const FITS = 0.7;
/** and serves again when the load is more than this part of them. Between the two nothing changes. */
const FULL = 0.9;

export type Change = { readonly drain: number } | { readonly serve: number };

/**
 * One change at a time. @param hosts in the order in which they are chosen: instances first
 * @returns the place of the host, or undefined: nothing is to be changed
 */
export function drainingChange(hosts: readonly ServingHost[], { maxConnections, maxCpu }: Load): Change | undefined {
  const running = hosts.map((host, i) => ({ ...host, i })).filter((host) => host.running);
  const serving = running.filter(({ draining }) => !draining);
  const draining = running.filter((host) => host.draining);
  const connections = running.reduce((sum, host) => sum + host.connections, 0);
  const cpu = running.reduce((sum, host) => sum + host.cpu, 0);
  const fits = (count: number, part: number) =>
    connections <= part * count * maxConnections && (maxCpu === undefined || cpu <= part * count * maxCpu);
  if (draining.length > 0 && !fits(serving.length, FULL)) return { serve: draining[0].i };
  const last = serving.at(-1);
  if (!last || last.instance || serving.length < 2 || !fits(serving.length - 1, FITS)) return undefined;
  return { drain: last.i };
}
