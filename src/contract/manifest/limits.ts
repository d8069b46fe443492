/**
 * What a field of a manifest may be and what it is by default, once: the schema and the constructs read it here.
 * Imports no schema library, because a supervisor needs some of it at a cold start.
 */
import { type Cidr, parseCidr } from './address';

/** A whole number. */
export interface Limit {
  readonly low: number;
  readonly high: number;
  /** What the number counts, for people. */
  readonly unit: string;
  readonly default: number;
}

const ms = { unit: 'milliseconds' } as const;
const YEAR = 365 * 86_400_000;

export const HOST_LIMITS = {
  /** Lambda's. */
  memorySize: { low: 128, high: 10_240, unit: 'MB', default: 1_769 },
  /** Lambda's. */
  timeout: { low: 1_000, high: 1_800_000, ...ms, default: 900_000 },
  idleTimeout: { low: 100, high: YEAR, ...ms, default: 60_000 },
  releaseTimeout: { low: 100, high: YEAR, ...ms, default: 600_000 },
  allocationTimeout: { low: 100, high: 900_000, ...ms, default: 30_000 },
  settleTime: { low: 0, high: 900_000, ...ms, default: 1_000 },
  livenessInterval: { low: 1_000, high: 3_600_000, ...ms, default: 10_000 },
  drainTimeout: { low: 100, high: 300_000, ...ms, default: 10_000 },
  stopTimeout: { low: 0, high: 300_000, ...ms, default: 2_000 },
} as const satisfies Record<string, Limit>;

/** Between two looks at whether a guest is ready, and for one of them. */
export const READY_LIMITS = {
  interval: { low: 50, high: 60_000, ...ms, default: 250 },
  timeout: { low: 50, high: 60_000, ...ms, default: 5_000 },
  port: { low: 1, high: 65_535, unit: 'the port range', default: 80 },
} as const satisfies Record<string, Limit>;

export const BARRIER_LIMITS = {
  count: { low: 1, high: 65_535, unit: 'hosts', default: 1 },
  timeout: { low: 100, high: 900_000, ...ms, default: 60_000 },
} as const satisfies Record<string, Limit>;
/** At most this many names at one barrier. */
export const MOST_BARRIER_HOSTS = 256;

export const HOST_DEFAULTS = {
  workingDirectory: '/var/task',
  releasePolicy: 'no-traffic',
  restartPolicy: 'never',
} as const;

/** Of a service: when a member is full. */
export const SERVICE_LIMITS = {
  maxConnections: { low: 1, high: 100_000, unit: 'connections', default: 100 },
  maxCpu: { low: 1, high: 10_000, unit: 'percent of one CPU', default: 10_000 },
} as const satisfies Record<string, Limit>;

/** The defaults are far more than a program needs. */
export const CLUSTER_LIMITS = {
  maxAllocationsPerMinute: { low: 1, high: 100_000, unit: 'hosts a minute', default: 2_000 },
  maxAllocationsPerMinutePerMember: { low: 1, high: 100_000, unit: 'hosts a minute', default: 500 },
  maxRunningHosts: { low: 1, high: 100_000, unit: 'hosts', default: 1_000 },
} as const satisfies Record<string, Limit>;

export const SEED_PORT = { low: 1, high: 65_535, unit: 'the port range', default: 9_410 } as const satisfies Limit;

/** The seed's data port, where a manifest names none. */
export function dataPortOf(port: number): number {
  return port < SEED_PORT.high ? port + 1 : port - 1;
}

/** Prefixes of the block of virtual addresses. */
export const CIDR = { shortest: 16, longest: 28, default: '100.64.0.0/16' } as const;
export const CIDR_RULE = `an IPv4 block from /${CIDR.shortest} to /${CIDR.longest} with no host bits set, like '${CIDR.default}'`;

/** The block of a cluster's virtual addresses; undefined when it is none, too large or too small. */
export function parseClusterCidr(text: string): Cidr | undefined {
  const block = parseCidr(text);
  return block && block.prefix >= CIDR.shortest && block.prefix <= CIDR.longest ? block : undefined;
}

/**
 * Lambda's, of a function with tenant isolation, for each 1,000 concurrent executions; busy and idle sandboxes count.
 * https://docs.aws.amazon.com/lambda/latest/dg/tenant-isolation-troubleshooting.html
 */
export const POOL = { sandboxes: 2_500 } as const;

/** RFC 1123 label, lower case. */
export const HOST_NAME_RULE = '1-63 lower-case letters, digits or hyphens, starting and ending with a letter or digit';
export const HOST_NAME_PATTERN = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
/** `node-ID` is the canonical name of every host, so no host may be called that. */
export const RESERVED_NAME_PATTERN = /^(node-\d+|localhost|seed)$/;

export const CLUSTER_NAME_LENGTH = 32;
export const CLUSTER_NAME_RULE = `1-${CLUSTER_NAME_LENGTH} letters, digits or hyphens, starting with a letter or digit`;
export const CLUSTER_NAME_PATTERN = new RegExp(`^[a-zA-Z0-9][a-zA-Z0-9-]{0,${CLUSTER_NAME_LENGTH - 1}}$`);

/** Lambda's. */
export const FUNCTION_NAME_LENGTH = 64;
export const FUNCTION_NAME_RULE = `1-${FUNCTION_NAME_LENGTH} letters, digits, hyphens or underscores`;
export const FUNCTION_NAME_PATTERN = new RegExp(`^[a-zA-Z0-9-_]{1,${FUNCTION_NAME_LENGTH}}$`);

/** At most this many on a host; the shim has room for these and for the cluster's own. */
export const MOST_REMAPPED_FILES = 64;
const REMAPPED_PATH_LENGTH = 1_024;
export const REMAPPED_PATH_RULE =
  "an absolute path to something beneath '/', of at most 1,024 characters, without '.', '..', '//' or a slash at its end";
export function isRemappedPath(path: string): boolean {
  return /^(\/(?!\.{1,2}(\/|$))[^/\0]+)+$/.test(path) && path.length <= REMAPPED_PATH_LENGTH;
}
/** A target beneath its own path could never be named itself. */
export function isInside(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}
