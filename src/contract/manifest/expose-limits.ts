/** What a field of an exposed port may be and what it is by default. Without a schema library, as `limits.ts`. */
import { parseCidr } from './address';
import type { Limit } from './limits';

const PORT = { low: 1, high: 65_535, unit: 'the port range', default: 0 } as const;

export const EXPOSE_LIMITS = {
  /** At the seed. */
  port: PORT,
  /** At the host. By default the same. */
  hostPort: PORT,
  maxConnectionsPerClient: { low: 1, high: 4_096, unit: 'connections', default: 256 },
  maxNewConnectionsPerMinutePerClient: { low: 1, high: 10_000_000, unit: 'connections a minute', default: 6_000 },
  maxAllocationsPerMinutePerClient: { low: 1, high: 100_000, unit: 'allocations a minute', default: 10 },
  /** UDP: after so long without a datagram in either direction. */
  flowTimeout: { low: 1_000, high: 3_600_000, unit: 'milliseconds', default: 60_000 },
  /** By default the host's. */
  allocationTimeout: { low: 100, high: 900_000, unit: 'milliseconds', default: 30_000 },
} as const satisfies Record<string, Limit>;

export const ALLOW_RULE = "an IPv4 block with no host bits set, like '198.51.100.0/24' or '0.0.0.0/0'";
/** More would be a firewall's business. */
export const MOST_ALLOWED = 64;
export const isAllowedBlock = (text: string) => parseCidr(text) !== undefined;

/** RFC 6066: a host name without a trailing dot. One label may be a wildcard, the first. */
export const SERVER_NAME_RULE = "a DNS name in lower case, like 'api.example.com' or '*.example.com'";
export const SERVER_NAME_PATTERN =
  /^(?=.{1,253}$)(\*\.)?[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/;
export const MOST_SERVER_NAMES = 64;
/** Ports of one cluster. */
export const MOST_EXPOSED = 64;

/** UDP: flows that one client address has by default. A host has 256 in all, and its clients are not to be one client's. */
export const FLOWS_PER_CLIENT = 32;
