/** What keeps a host from being idle besides CPU use: any open connection, or only one that moves bytes. */
export type ReleasePolicy = 'no-connections' | 'no-traffic';

/** One named machine of a cluster. All durations are milliseconds. */
export interface ManifestHost {
  /** RFC 1123 label, lower case. */
  readonly name: string;
  /** Further names that resolve to this host. */
  readonly aliases: readonly string[];
  /** Virtual address inside the cluster's CIDR. A manifest may leave it out: it follows from the name. */
  readonly address: string;
  /** `function`: allocated by invoking `functionName`. `instance`: joins by itself. */
  readonly kind: 'function' | 'instance';
  /** Lambda function name, 1-64 characters, of kind `function`. A manifest may leave it out: `<cluster>-<host>`. */
  readonly functionName?: string;
  /** The guest's command line. Required for kind `function`. */
  readonly command?: readonly string[];
  /** The guest's own environment. */
  readonly environment: Readonly<Record<string, string>>;
  /** Where the guest starts; the function's code is at `/var/task`. */
  readonly workingDirectory: string;
  /**
   * Paths that are somewhere else in truth, each with everything beneath it: what a guest names, and where that is. Absolute
   * and without `.` or `..`, at most 64.
   */
  readonly remappedFiles: Readonly<Record<string, string>>;
  /** MB of memory, 128-10240. */
  readonly memorySize: number;
  /** Function timeout, 1,000-1,800,000. */
  readonly timeout: number;
  /** Idle for this long: suspended. 100 or more. */
  readonly idleTimeout: number;
  /** Suspended for this long: released. 100 or more. */
  readonly releaseTimeout: number;
  /** A `connect` that caused an allocation fails with ETIMEDOUT after this long, 100-900,000. */
  readonly allocationTimeout: number;
  /** A host that listens somewhere refuses other ports once no listener was added for this long. */
  readonly settleTime: number;
  readonly releasePolicy: ReleasePolicy;
}

/** What a cluster may cost: the seed refuses to start hosts beyond it. Each is 1-100,000. */
export interface ManifestLimits {
  /** Starts of host functions for asks, allocations and resumptions, in the whole cluster: so many at once, and as many a minute. */
  readonly maxAllocationsPerMinute: number;
  /** The same for each member that asks. */
  readonly maxAllocationsPerMinutePerMember: number;
  /** Host functions that are allocated or run at one time. */
  readonly maxRunningHosts: number;
}

/** The JSON document that describes a cluster. */
export interface Manifest {
  readonly version: 1;
  readonly cluster: {
    /** 1-32 characters: letters, digits and hyphens; part of function names. */
    readonly name: string;
    /** IPv4 block, /16 to /28. */
    readonly cidr: string;
    readonly limits: ManifestLimits;
  };
  readonly seed: {
    /** TCP port of the control network. */
    readonly port: number;
    /** Port of what needs no key: probes of NATs, and relayed connections, which have tokens. */
    readonly dataPort: number;
  };
  readonly hosts: readonly ManifestHost[];
}

/** The seed's data port, where a manifest names none. */
export function dataPortOf(port: number): number {
  return port < 65_535 ? port + 1 : port - 1;
}

/** Lambda's longest timeout, in milliseconds. */
export const MOST_TIMEOUT = 1_800_000;

/** The longest time that a host may be idle or suspended: a year, in milliseconds. */
export const MOST_WAIT = 365 * 86_400_000;

/** The highest value of each of a cluster's limits. */
export const MOST_LIMIT = 100_000;

/** Values of a cluster's limits, where a manifest names none: far more than a program needs. */
export const LIMIT_DEFAULTS: ManifestLimits = {
  maxAllocationsPerMinute: 2_000,
  maxAllocationsPerMinutePerMember: 500,
  maxRunningHosts: 1_000,
};

/** Values of the optional fields of a manifest, in one place for the constructs and for hand-written manifests. */
export const MANIFEST_DEFAULTS = {
  cidr: '100.64.0.0/16',
  seedPort: 9410,
  workingDirectory: '/var/task',
  memorySize: 1769,
  timeout: 900_000,
  idleTimeout: 60_000,
  releaseTimeout: 600_000,
  allocationTimeout: 30_000,
  settleTime: 1_000,
  releasePolicy: 'no-connections',
} as const;
